"""Checks that say what they saw."""


def that(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def equal(what, actual, wanted):
    if actual != wanted:
        raise AssertionError(f"{what}: {_first_difference(actual, wanted)}")


def one_of(what, actual, wanted):
    if actual not in wanted:
        raise AssertionError(f"{what}: {actual!r}, not one of {wanted!r}")


def _first_difference(actual, wanted):
    if isinstance(actual, list) and isinstance(wanted, list):
        for index, (left, right) in enumerate(zip(actual, wanted)):
            if left != right:
                return (f"{len(actual)} came, {len(wanted)} were awaited; number {index} is "
                        f"{left!r}, not {right!r}")
        if len(actual) != len(wanted):
            longer = actual if len(actual) > len(wanted) else wanted
            return (f"{len(actual)} came, {len(wanted)} were awaited; the first of the "
                    f"difference is {longer[min(len(actual), len(wanted))]!r}")
    return f"{actual!r:.300}, not {wanted!r:.300}"


def payloads(messages):
    return [message.payload for message in messages]


def in_order(what, numbers):
    for before, after in zip(numbers, numbers[1:]):
        if after < before:
            raise AssertionError(f"{what}: {after} came behind {before}")


def once_and_in_order(what, actual, wanted):
    """QoS 2: nothing missing, nothing twice, nothing out of order."""
    equal(what, list(actual), list(wanted))


def at_least_once_in_order(what, actual, wanted):
    """QoS 1: nothing missing; first arrivals in order, and what is repeated was there before."""
    seen, first = set(), []
    for item in actual:
        if item not in seen:
            seen.add(item)
            first.append(item)
    equal(what + ", first arrivals", first, list(wanted))
