"""For which names a policy's `complexity` holds: those that it matches, and never a model of a provider's own.

A key may opt in to more (`may: {complexity: true}` in callers.yaml); then it holds as policies say it.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from gateway.routing.policy import Policy, Rules


def smaller(policies: Mapping[str, Policy], rules: Rules, model: str) -> Mapping[str, str]:
    """Which model is for which class of requests, by the first of the policies heard that says so and names `model`."""
    for name in rules.names:
        policy = policies[name]
        if policy.complexity is not None and _names(policy, model):
            return policy.complexity
    return {}


def is_concrete(asked: str, model: str, served_as: Iterable[str]) -> bool:
    """Whether a name that the configuration hasn't as it stands is taken for one provider's model.

    `model` is the configured name it led to, `served_as` what that is called where it is served. Another spelling
    (`provider/model`, a provider's own id, or what rules make of one) leads to a name by its model; a name that a glob
    matches is one where its end is what its place is asked for.
    """
    return asked != model or any(asked.endswith(one) for one in served_as)


def _names(policy: Policy, model: str) -> bool:
    models = policy.match.models
    return models is not None and (model in models or any(fnmatchcase(model, glob) for glob in models))
