"""A strict reader of Prometheus' text format 0.0.4: what a scraper may be lenient in is an error.

parse(text) gives {name: Family}; anything that the format or the conventions do not allow raises
FormatError with the number of the line.
"""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(r"(%s)(?:\{(.*)\})? (\S+)$" % NAME)
VALUE = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$|[-+]?Inf$|NaN$")
TYPES = ("counter", "gauge", "histogram")


class FormatError(Exception):
    pass


class Family:
    def __init__(self, name, help_text):
        self.name = name
        self.help = help_text
        self.type = None
        self.samples = {}  # (name, ((label, value), ...)) -> number, in their order

    def value(self, suffix="", **labels):
        return self.samples[(self.name + suffix, tuple(sorted(labels.items())))]

    def total(self, suffix="", **labels):
        """The sum of all samples that have these labels."""
        return sum(value for (name, found), value in self.samples.items()
                   if name == self.name + suffix and set(labels.items()) <= set(found))


def labels_of(text):
    labels, at = [], 0
    while at < len(text):
        found = LABEL.match(text, at)
        if not found:
            raise FormatError("not a label at %r" % text[at:])
        if found.group(1) in [name for name, _ in labels]:
            raise FormatError("the label %s twice" % found.group(1))
        if found.group(1).startswith("__"):
            raise FormatError("the label %s is reserved" % found.group(1))
        labels.append((found.group(1), re.sub(
            r"\\(.)", lambda each: "\n" if each.group(1) == "n" else each.group(1),
            found.group(2))))
        at = found.end()
        if at < len(text):
            if text[at] != "," or at + 1 == len(text):
                raise FormatError("no comma between labels at %r" % text[at:])
            at += 1
    return labels


def number(text):
    if not VALUE.match(text):
        raise FormatError("%r is no number" % text)
    return float(text.replace("Inf", "inf"))


def check_histogram(family):
    series = {}
    for (name, labels), value in family.samples.items():
        rest = tuple(label for label in labels if label[0] != "le")
        entry = series.setdefault(rest, {"le": [], "sum": None, "count": None})
        suffix = name[len(family.name) + 1:]
        if suffix == "bucket":
            entry["le"].append((number(dict(labels)["le"]), value))
        elif rest != labels:
            raise FormatError("%s has a label le" % name)
        else:
            entry[suffix] = value
    for rest, entry in series.items():
        edges = [edge for edge, _ in entry["le"]]
        counts = [count for _, count in entry["le"]]
        where = "%s%r" % (family.name, dict(rest))
        if not edges or edges[-1] != float("inf"):
            raise FormatError("%s: no bucket +Inf at its end" % where)
        if edges != sorted(set(edges)):
            raise FormatError("%s: its edges do not rise" % where)
        if counts != sorted(counts):
            raise FormatError("%s: its buckets are not cumulative: %r" % (where, counts))
        if entry["sum"] is None or entry["count"] is None:
            raise FormatError("%s: no sum or no count" % where)
        if counts[-1] != entry["count"]:
            raise FormatError("%s: +Inf says %g, the count %g" % (where, counts[-1], entry["count"]))
        if entry["count"] == 0 and entry["sum"] != 0 or entry["sum"] < 0:
            raise FormatError("%s: its sum is %g" % (where, entry["sum"]))


def check_family(family):
    if family.type is None:
        raise FormatError("%s has no TYPE" % family.name)
    if (family.type == "counter") != family.name.endswith("_total"):
        raise FormatError("%s is a %s" % (family.name, family.type))
    if family.type == "counter" and any(value < 0 for value in family.samples.values()):
        raise FormatError("%s: a counter below zero" % family.name)
    names = {tuple(name for name, _ in labels if name != "le") for _, labels in family.samples}
    if len(names) > 1:
        raise FormatError("%s: its samples have different labels: %r" % (family.name, names))
    if family.type == "histogram":
        check_histogram(family)


def take_sample(family, line):
    found = SAMPLE.match(line)
    if not found:
        raise FormatError("not a sample: %r" % line)
    name, text, value = found.groups()
    suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
    if name not in [family.name + suffix for suffix in suffixes]:
        raise FormatError("%s among the samples of %s" % (name, family.name))
    if text == "":
        raise FormatError("empty braces: %r" % line)
    key = (name, tuple(sorted(labels_of(text or ""))))
    if key in family.samples:
        raise FormatError("%r twice" % (key,))
    family.samples[key] = number(value)


def parse_line(families, family, line):
    """The family that the line belongs to."""
    if line.startswith("# HELP "):
        name, _, text = line[len("# HELP "):].partition(" ")
        if not re.match(NAME + "$", name) or name in families:
            raise FormatError("HELP of %r twice, or no name" % name)
        if not text.strip() or re.search(r"\\[^\\n]", text):
            raise FormatError("no help: %r" % line)
        if family is not None:
            check_family(family)
        families[name] = Family(name, text)
        return families[name]
    if family is None:
        raise FormatError("no HELP before %r" % line)
    if line.startswith("# TYPE "):
        words = line.split(" ")
        if len(words) != 4 or words[2] != family.name or words[3] not in TYPES:
            raise FormatError("not the TYPE of %s: %r" % (family.name, line))
        if family.type is not None or family.samples:
            raise FormatError("TYPE of %s twice or after its samples" % family.name)
        family.type = words[3]
    elif family.type is None:
        raise FormatError("%s has no TYPE before its samples" % family.name)
    else:
        take_sample(family, line)
    return family


def parse(data):
    text = data.decode("utf-8")
    if not text.endswith("\n") or "\r" in text:
        raise FormatError("lines end with a line feed, the last one too")
    families, family = {}, None
    for count, line in enumerate(text[:-1].split("\n"), 1):
        try:
            family = parse_line(families, family, line)
        except FormatError as error:
            raise FormatError("line %d: %s" % (count, error))
    if family is not None:
        check_family(family)
    return families
