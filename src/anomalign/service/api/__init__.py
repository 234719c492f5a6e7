"""The REST interface: one router per subject. `schemas` describes the JSON, `serializers` makes it."""
