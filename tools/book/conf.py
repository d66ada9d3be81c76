"""What Sphinx is told: it runs in the folder of the gathered sources."""

project = "minigpt"
author = "the authors of minigpt"
copyright = author
extensions = ["myst_nb", "sphinx.ext.mathjax"]
exclude_patterns = ["_extra", "_static"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
nb_execution_mode = "off"
nb_merge_streams = True

mathjax_path = "mathjax.js"
html_theme = "furo"
html_title = "minigpt"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "default"
pygments_dark_style = "github-dark"
