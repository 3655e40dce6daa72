"""One report of everything that is measured: device, versions, commands, figures with intervals, plots."""
