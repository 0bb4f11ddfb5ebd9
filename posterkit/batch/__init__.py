"""Many requests: manifests, folder rules, engines, the ledger, the contact sheet."""
