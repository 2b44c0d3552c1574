"""The template engine of the pages: everything is escaped, and a missing value is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dpl_router import __version__
from dpl_router.diagnostics.operations import OPERATIONS
from dpl_router.pages import words

TEMPLATES = Path(__file__).parent / "templates"


def make_engine(*, keys: bool = False) -> Environment:
    """Names of nodes and models, and the words of alerts, come from strangers: no exception.

    `keys`: callers show one, so there is something to sign out of.
    """
    engine = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    engine.globals["version"] = __version__
    engine.globals["keys"] = keys
    engine.globals["operations"] = OPERATIONS
    for function in (
        words.gib,
        words.whole,
        words.plural,
        words.state_words,
        words.moment,
        words.clock,
        words.seconds_of,
    ):
        engine.filters[function.__name__] = function
    return engine
