"""Reads documents with expat: a line of base64 each, and answers with what each says, as a line of JSON."""

import base64
import json
import sys
from xml.parsers import expat

# With a separator that a URI never has, as ElementTree and slixmpp do it.
SEPARATOR = "}"


def expanded(name):
    return "{" + name if SEPARATOR in name else name


def read(document):
    root = []
    stack = [root]

    def start(name, attributes):
        namespace, _, local = name.rpartition(SEPARATOR)
        children = []
        pairs = [[expanded(name), value] for name, value in attributes.items()]
        stack[-1].append([namespace, local, pairs, children])
        stack.append(children)

    parser = expat.ParserCreate("utf-8", SEPARATOR)
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: stack.pop()
    parser.CharacterDataHandler = lambda text: stack[-1].append(text)
    parser.CommentHandler = lambda text: stack[-1].append("?comment")
    parser.ProcessingInstructionHandler = lambda target, text: stack[-1].append("?instruction")
    parser.StartDoctypeDeclHandler = lambda *of: stack[-1].append("?doctype")
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        return str(error)
    return root[0]


for line in sys.stdin:
    print(json.dumps(read(base64.b64decode(line))), flush=True)
