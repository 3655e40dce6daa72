"""Every rule, and every overlay held to them."""

from collections.abc import Callable, Iterator

from scripts.kubernetes import rules_models, rules_network, rules_pods, rules_scaling, rules_settings, rules_watching
from scripts.kubernetes.generate import K8S
from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.render import render
from scripts.kubernetes.schemas import schemas

Rule = Callable[[Deployed], Iterator[str]]

RULES: tuple[Rule, ...] = (
    schemas,
    rules_pods.images,
    rules_pods.privileges,
    rules_pods.resources,
    rules_pods.probes,
    rules_pods.signals,
    rules_pods.nothing_secret,
    rules_pods.spread,
    rules_models.config_is_rays,
    rules_models.config_is_made,
    rules_models.deployments,
    rules_models.chosen,
    rules_models.drain,
    rules_models.nodes,
    rules_models.object_store,
    rules_models.version,
    rules_models.fits,
    rules_scaling.targets,
    rules_scaling.connections,
    rules_scaling.triggers,
    rules_scaling.budgets,
    rules_scaling.grace,
    rules_scaling.unnoticed,
    rules_network.denied_by_default,
    rules_network.selections,
    rules_network.flows,
    rules_network.left_to_operators,
    rules_network.grpc,
    rules_watching.scraped,
    rules_settings.named,
    rules_settings.sources,
    rules_settings.valid,
    rules_settings.billing,
    rules_settings.scratch,
    rules_settings.ingress,
)


def rendered(overlay: str, kubectl: str) -> Deployed:
    """An overlay of k8s/overlays. Raises RenderError."""
    return Deployed(overlay, render(K8S / "overlays" / overlay, kubectl))


def problems(deployed: Deployed) -> Iterator[str]:
    """What is wrong with it, a sentence each."""
    wrong_shape = list(schemas(deployed))
    if wrong_shape:  # the rules may rely on the shape
        yield from wrong_shape
        return
    for rule in RULES[1:]:
        yield from rule(deployed)
