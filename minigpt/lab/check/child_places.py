"""Where an object keeps its arrays, for `child.py`: by path (W, params.W, weight.data), by name, by shape."""

import numpy as np


def parameter_places(holder, prefix="", depth=0):
    """Every array that an object holds, by path: "W", "params.W", "weight.data", "grads.W"."""
    found = {}
    items = holder.items() if isinstance(holder, dict) else getattr(holder, "__dict__", {}).items()
    for name, value in list(items):
        if not isinstance(name, str):
            continue
        if isinstance(value, (np.ndarray, np.floating)):
            found[prefix + name] = np.asarray(value)
        elif depth < 2 and (isinstance(value, dict) or hasattr(value, "__dict__")) and not callable(value):
            found.update(parameter_places(value, f"{prefix}{name}.", depth + 1))
    return found


def place_name(path):
    """The name that an array goes by: "w" of W, params.W and W.data."""
    parts = path.split(".")
    name = parts[-2] if len(parts) > 1 and parts[-1] in ("data", "value", "val", "array") else parts[-1]
    return "".join(c for c in name.lower() if c.isalnum())


def bound_places(places, attributes, arrays):
    """Which array of an object is which parameter: by its name and its shape."""
    bound = {}
    for role, told in attributes.items():
        shape = arrays[told["value"]["array"]].shape
        for name in told["names"]:
            fits = [p for p, x in places.items() if place_name(p) == name and x.shape == shape and ".grad" not in p]
            fits = [p for p in fits if p not in bound.values() and not p.startswith("grads.")]
            if fits:
                bound[role] = fits[0]
                break
    return bound


def put(holder, path, value):
    *way, last = path.split(".")
    for name in way:
        holder = holder[name] if isinstance(holder, dict) else getattr(holder, name)
    if isinstance(holder, dict):
        holder[last] = value
    else:
        setattr(holder, last, value)
