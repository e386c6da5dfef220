"""A walk of the graph for people and programs: tree, JSON, Mermaid, Graphviz and a page."""

from __future__ import annotations

from unified_mlops.lineage.render.diagram import dot, mermaid
from unified_mlops.lineage.render.page import as_dict, html
from unified_mlops.lineage.render.terminal import tree
from unified_mlops.lineage.render.words import summary, title

__all__ = ["as_dict", "dot", "html", "mermaid", "summary", "title", "tree"]
