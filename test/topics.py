"""Matching Topic Names against Topic Filters, level by level (5.0 section 4.7): the oracle."""


def matches(topic_filter, topic):
    filters, names = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and filters[0] in ("#", "+"):
        return False
    for index, level in enumerate(filters):
        if level == "#":
            return True
        if index >= len(names) or level not in ("+", names[index]):
            return False
    return len(filters) == len(names)
