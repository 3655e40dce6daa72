// Reads manifests as a JSON list and answers for each with null, or with what KEDA's model of its kind says against it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const models = require("@kubernetes-models/keda/keda.sh/v1alpha1");

function complaint(manifest) {
  const Model = models[manifest.kind];
  if (Model === undefined) return `KEDA has no kind ${manifest.kind}`;
  try {
    new Model(manifest).validate();
    return null;
  } catch (error) {
    return error.message;
  }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(complaint)));
