"""Renders formulas as MathML, which browsers draw themselves: no script, no fonts, no request to another host."""

from typing import TYPE_CHECKING, Any

from docutils.utils.math.latex2mathml import tex2mathml

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def _inline(translator: "HTML5Translator", node: "nodes.math") -> None:
    from docutils import nodes

    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: "HTML5Translator", node: "nodes.math_block") -> None:
    from docutils import nodes

    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register the renderer under the name `mathml`; a formula that cannot be read fails the build."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
