"""The operator's station: a service that inspects, keeps records, and is talked to by people and machines."""
