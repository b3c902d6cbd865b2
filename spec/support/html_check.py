"""What a page says, as JSON, and what is wrong with it as HTML: python3 html_check.py FILE

Its texts are those of the elements, without what is for screen readers alone.
"""
import json
import sys
from html.parser import HTMLParser

VOID = {"meta", "wbr", "br", "link", "img", "input", "hr", "base"}
FORBIDDEN = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "foreignobject", "use", "image"}
NETWORK = {"src", "href", "xlink:href", "srcset", "action", "background", "poster", "style", "ping"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.wrong, self.ids, self.refers, self.headings = [], [], set(), [], []
        self.tables, self.tiles, self.bars, self.items, self.meta = {}, [], [], [], {}
        self.title = self.style = ""
        self.sink = None

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if len(a) != len(attributes):
            self.wrong.append(f"an attribute twice: {tag}")
        if tag in FORBIDDEN:
            self.wrong.append(f"element {tag}")
        for name in a:
            if name in NETWORK or name.startswith("on"):
                self.wrong.append(f"attribute {name}")
        if "id" in a:
            if a["id"] in self.ids:
                self.wrong.append(f"id {a['id']} twice")
            self.ids.add(a["id"])
        self.refers += a.get("aria-labelledby", "").split()
        if a.get("role") == "img" and "aria-labelledby" not in a:
            self.wrong.append("an image without a name")
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "th" and a.get("scope") not in ("row", "col"):
            self.wrong.append("th without scope")
        if tag == "html" and a.get("lang") != "en":
            self.wrong.append("no language")
        if tag == "meta":
            self.meta[a.get("http-equiv") or a.get("name") or "charset"] = a.get("content") or a.get("charset")
        if tag == "caption":
            self.table = self.tables.setdefault(a["id"].removesuffix("-caption"), [])
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append({"text": ""})
        if tag == "data" and "td" in self.stack:
            self.table[-1][-1]["value"] = a["value"]
        if tag == "dt":
            self.tiles.append({"name": "", "value": "", "more": ""})
        if tag == "data" and "dd" in self.stack:
            self.tiles[-1].setdefault("exact", a["value"])
        if tag == "dd":
            self.part = a["class"]
        if tag == "rect" and "chart" in self.classes and a.get("class", "").split()[0] in ("bar", "gap"):
            self.bars.append({"class": a["class"], "height": float(a["height"]), "tip": ""})
            self.bar = True
        elif tag == "rect":
            self.bar = False
        if tag == "svg":
            self.classes = a.get("class", "").split()
        if tag == "li":
            self.items.append("")
        if tag not in VOID:
            self.stack.append(tag)
            self.unseen = len(self.stack) if a.get("class") == "unseen" else self.unseen if self.inside_unseen() else 0

    classes, unseen, bar = [], 0, False

    def inside_unseen(self):
        return self.unseen and len(self.stack) > self.unseen

    def handle_endtag(self, tag):
        if not self.stack or self.stack[-1] != tag:
            self.wrong.append(f"</{tag}> within {self.stack[-1:]}")
        else:
            self.stack.pop()
        if self.unseen > len(self.stack):
            self.unseen = 0

    def handle_data(self, data):
        if self.unseen or not self.stack:
            return
        if self.stack[-1] == "style":
            self.style += data
        elif "rect" in self.stack:
            if self.bar:
                self.bars[-1]["tip"] += data
        elif self.stack[-1] == "title" and "svg" not in self.stack:
            self.title += data
        elif "td" in self.stack or "th" in self.stack:
            self.table[-1][-1]["text"] += data
        elif "dt" in self.stack:
            self.tiles[-1]["name"] += data
        elif "dd" in self.stack:
            self.tiles[-1][self.part] += data
        elif "li" in self.stack:
            self.items[-1] += data


def main(path):
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    page = Page()
    page.feed(text)
    page.close()
    wrong = page.wrong
    if page.stack:
        wrong.append(f"not closed: {page.stack}")
    wrong += [f"nothing has the id {name}" for name in page.refers if name not in page.ids]
    if page.headings[:1] != [1] or any(b - a > 1 for a, b in zip(page.headings, page.headings[1:])):
        wrong.append(f"headings {page.headings}")
    if any(word in page.style for word in ("url(", "@import", "@font-face", "expression")):
        wrong.append("the style asks for something")
    if not text.startswith("<!DOCTYPE html>"):
        wrong.append("no doctype")
    json.dump({"wrong": wrong, "title": page.title, "style": page.style, "meta": page.meta, "tables": page.tables,
               "tiles": page.tiles, "bars": page.bars, "items": page.items}, sys.stdout)


main(sys.argv[1])
