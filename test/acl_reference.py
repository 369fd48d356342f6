"""A reference for access control lists: what docs/authorization.md says, rule by rule and slowly.

Nothing of it is taken from authorization/. A list is read into a flat series of rules; a question
goes through all of them. Whether some topic of a filter could be read is found by trying: a filter
stands for all topics of a small universe that it matches.
"""

import functools
import itertools


@functools.lru_cache(maxsize=1 << 20)
def matches(filter_, topic):
    """MQTT 5.0 section 4.7."""
    if topic.startswith("$") and filter_[0] in "+#":
        return False
    return levels_match(filter_.split("/"), topic.split("/"))


def levels_match(filter_, topic):
    if filter_ == ["#"]:
        return True
    if not filter_:
        return not topic
    if not topic:
        return False
    if filter_[0] not in ("+", topic[0]):
        return False
    return levels_match(filter_[1:], topic[1:]) or (not topic[1:] and filter_[1:] == ["#"])


class Rule:
    def __init__(self, line, pattern, access, filter_, user, group, conditions):
        self.line, self.pattern, self.access, self.filter = line, pattern, access, filter_
        self.user, self.group, self.conditions = user, group, conditions


class Reference:
    def __init__(self, text):
        self.rules, self.members = [], {}
        user, group, conditions, fresh = None, None, [], True
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split(None, 1)
            if not words or words[0].startswith("#"):
                continue
            word, rest = words[0], words[1].strip() if len(words) > 1 else ""
            if word in ("user", "group"):
                user, group = (rest, None) if word == "user" else (None, rest)
                conditions, fresh = [], True
            elif word == "member":
                self.members.setdefault(group, set()).add(rest)
            elif word == "when":
                if not fresh or rest == "always":
                    conditions, fresh = [], True
                if rest != "always":
                    conditions = conditions + [tuple(rest.split(None, 1))]
            else:
                parts = rest.split(None, 1)
                access, filter_ = parts if len(parts) == 2 else ("readwrite", rest)
                fresh = False
                self.rules.append(Rule(number, word == "pattern", access, filter_, user, group,
                                       conditions))

    def concerns(self, rule, client):
        for kind, value in rule.conditions:
            if kind == "listener" and client["listener"] != value:
                return False
            if kind == "certificate" and value not in client["certificate"].split(","):
                return False
        if rule.pattern:
            return True
        if rule.group is not None:
            return client["user"] in self.members.get(rule.group, ())
        return rule.user == client["user"]

    def filter_of(self, rule, client):
        """The rule's filter for this client; None: it stands for no topic."""
        if not rule.pattern:
            return rule.filter
        names = {"%c": client["id"], "%u": client["user"]}
        levels = [names.get(level, level) for level in rule.filter.split("/")]
        return None if None in levels else "/".join(levels)

    def unsafe(self, client):
        """A name that a pattern uses could widen it: no pattern counts."""
        used = {level for rule in self.rules if rule.pattern for level in rule.filter.split("/")}
        names = ([client["id"]] if "%c" in used else []) + \
                ([client["user"]] if "%u" in used and client["user"] is not None else [])
        return any(not name or name[0] == "$" or set(name) & set("+#/") for name in names)

    def stages(self, client):
        """Rules and their filters: the client's own, then, if they count, patterns."""
        mine = [(rule, self.filter_of(rule, client)) for rule in self.rules
                if self.concerns(rule, client)]
        mine = [(rule, filter_) for rule, filter_ in mine if filter_ is not None]
        yield [pair for pair in mine if not pair[0].pattern]
        if not self.unsafe(client):
            yield [pair for pair in mine if pair[0].pattern]

    def may(self, client, action, topic):
        """(allowed, the line that decides or 0); `action`: read or write."""
        for stage in self.stages(client):
            hits = [rule for rule, filter_ in stage if matches(filter_, topic)]
            for rule in hits:
                if rule.access == "deny":
                    return False, rule.line
            for rule in hits:
                if rule.access in (action, "readwrite"):
                    return True, rule.line
        return False, 0

    def may_subscribe(self, client, filter_, universe):
        """(allowed, the lines that may be named for it)."""
        wanted = {topic for topic in universe if matches(filter_, topic)}
        denials, grants, denied_by = [], set(), set()
        for stage in self.stages(client):
            rules = [(rule, {topic for topic in wanted if matches(text, topic)})
                     for rule, text in stage]
            denials += [(rule, topics) for rule, topics in rules if rule.access == "deny"]
            for rule, topics in rules:
                if rule.access not in ("read", "readwrite") or not topics:
                    continue
                against = {denial.line for denial, taken in denials if topics <= taken}
                denied_by |= against
                if not against:
                    grants.add(rule.line)
        return (True, grants) if grants else (False, denied_by or {0})


def universe(words, depth):
    """All topics of these levels and of one that is in no list."""
    levels = [*words, "other"]
    return ["/".join(topic) for size in range(1, depth + 1)
            for topic in itertools.product(levels, repeat=size)]
