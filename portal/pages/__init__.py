"""The portal's pages, one module each: read what was asked, ask the selectors, render."""
