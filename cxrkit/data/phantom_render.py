"""Draw chest radiographs from anatomical parameters: thickness along the ray, attenuation, film.

Every structure is a map of how many units of it a ray crosses at each pixel; the maps are weighted with an attenuation
coefficient, summed, turned into transmission (Beer-Lambert: exp(-sum)), blurred by scatter and penumbra, and read out
through a logarithmic, S-shaped film curve. All of it is array arithmetic over a block of films at once.

Lengths are in half image sides: x runs from -1 (left edge of the image, the patient's right) to 1, y from -1 (top) to 1.
"""

import numpy as np

BLOCK = 8  # films drawn together; part of the definition, because random fields are drawn block by block
FINE, MIDDLE, COARSE = 56, 28, 7  # nodes a side of the random fields, whatever the image size
THICKNESS = ("lung", "heart", "bone", "vessel", "air")  # the maps that can be had beside a film
MU = {"soft": 1.9, "bone": 1.0, "lung": 0.32}  # attenuation a unit of thickness, for a typical diagnostic beam
_GLYPHS = {  # burned-in side marker, 5 x 7 dots
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}
GLYPHS = np.array([[[c == "#" for c in row] for row in _GLYPHS[name]] for name in "RL"], np.float32)


def render_block(p: dict, size: int, rng: np.random.Generator, maps: bool = False):
    """Draw the films of one block.

    Parameters
    ----------
    p : parameter name -> float32 [n] (or [n, …] for branches and lesions), as `phantom.sample_*` make them.
    size : pixels a side.
    rng : source of the random fields and of the pixel noise.
    maps : also return the thickness maps (lung, heart, bone, vessel, and air: the lung less vessels and opacities), for pretraining.

    Returns
    -------
    images uint8 [n, size, size], masks bool [n, size, size] of the opacities, maps {name: float32 [n, size, size]}.
    """
    n = len(p["tilt"])
    q = {name: value.reshape(n, 1, 1) for name, value in p.items() if value.ndim == 1}  # ready to broadcast over pixels
    fields = {k: rng.standard_normal((n, 3, k, k), dtype=np.float32) for k in (FINE, MIDDLE, COARSE)}
    x, y = _anatomical_coordinates(q, size)
    body = _body(q, x, y)
    chest, height, half_width = _cavity(q, x, y)
    side, lung, heart = _lungs(q, x, y, chest)
    bone = _bones(q, x, y, half_width, body > 0)
    vessel, bronchus = _vessels(p, q, size)
    opacity = _opacity(p, q, x, y, side, height, half_width, fields, bronchus, size)
    texture = 1 + 0.10 * _field(fields[FINE][:, 0], size) + 0.08 * _field(fields[MIDDLE][:, 0], size)
    tissue = np.clip(vessel * q["vessel_density"] * np.sqrt(lung), 0, 0.5)
    air = np.clip(lung - tissue, 0, None) * (1 - opacity)
    gas = np.minimum(_gas(q, x, y), 0.6 * body)
    soft = body * (1 + 0.04 * _field(fields[COARSE][:, 0], size)) - air - gas
    depth = MU["soft"] * np.clip(soft, 0, None) + MU["lung"] * air * texture + MU["bone"] * bone * q["bone_density"]
    masks = (opacity > 0.12) & (lung > 0.06)
    thickness = dict(zip(THICKNESS, (lung, heart, bone, tissue, air), strict=True)) if maps else {}
    return _film(q, depth, size, rng, fields), masks, thickness


def _centres(size):
    """Where the pixel centres of one axis lie, -1 to 1."""
    return (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1


def _sigmoid(value):
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


def _dome(value):
    """Thickness of a unit sphere crossed at distance² = 1 - value; 0 outside."""
    return np.sqrt(np.clip(value, 0, None))


def _field(nodes, size):
    """Random nodes [n, k, k] spread over the image by Gaussian interpolation, about unit variance: the same at every size."""
    k = nodes.shape[-1]
    at = (np.arange(size) + 0.5) / size * k - 0.5
    weight = np.exp(-((at[:, None] - np.arange(k)) ** 2) / (2 * 0.55**2))
    weight = np.where(weight < 1e-5, 0, weight).astype(np.float32)
    weight /= np.sqrt((weight**2).sum(1, keepdims=True))
    return weight @ nodes @ weight.T


def _blur(images, sigma):
    """Gaussian blur with one sigma a film (in image halves, [n] or a number), as two matrix products."""
    size = images.shape[-1]
    at = _centres(size)
    sigma = np.maximum(np.asarray(sigma, np.float32).reshape(-1, 1, 1), 0.2 / size)
    kernel = np.exp(-np.minimum((at[:, None] - at) ** 2 / (2 * sigma**2), 30))
    kernel = np.where(kernel < 1e-5, np.float32(0), kernel)  # no denormal numbers: they are slow
    kernel /= kernel.sum(-1, keepdims=True)
    return np.matmul(np.matmul(kernel, images), kernel.swapaxes(1, 2))


def _anatomical_coordinates(q, size):
    at = _centres(size)
    x, y = at[None, None, :] - q["shift_x"], at[None, :, None] - q["shift_y"]
    cos, sin = np.cos(q["tilt"]), np.sin(q["tilt"])
    return (cos * x + sin * y) / q["zoom"], (cos * y - sin * x) / (q["zoom"] * q["stretch"])


def _capsule(x, y, x0, y0, x1, y1):
    """Squared distance to the line from (x0, y0) to (x1, y1)."""
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2


def _arms(q):
    """Shoulder joint and elbow of both arms; `arm` 0 = raised, 1 = hanging."""
    angle = -1.15 + 2.3 * q["arm"]
    jx, jy = q["chest_width"] + 0.06, q["apex"] + 0.02
    return jx, jy, jx + 0.12 + 0.8 * np.cos(angle), jy + 0.8 * np.sin(angle)


def _body(q, x, y):
    """Soft-tissue thickness of trunk, neck, head and arms."""
    shoulders = _sigmoid((y - q["apex"] + 0.10 - 0.12 * np.abs(x)) / 0.06)
    width = q["neck"] + (q["body_width"] * (1 + 0.05 * y) - q["neck"]) * shoulders
    flat = np.clip(1 - (np.abs(x) / width) ** 2.6, 0, None)
    trunk = np.sqrt(flat) * (0.55 + 0.45 * shoulders + 0.12 * _sigmoid((y - 0.5) / 0.1)) * q["thickness"]
    head = 1.1 * _dome(1 - (x / 0.42) ** 2 - ((y - q["apex"] + 0.62 - q["head"]) / 0.34) ** 2)
    jx, jy, ex, ey = _arms(q)
    arm = 0.45 * _dome(1 - _capsule(np.abs(x), y, jx - 0.05, jy, ex, ey) / q["arm_width"] ** 2)
    return np.maximum(np.maximum(trunk, head), arm)


def _cavity(q, x, y):
    """Air-holding depth of the rib cage, relative height (0 apex, 1 base) and half width at each pixel."""
    height = np.clip((y - q["apex"]) / (0.72 - q["apex"]), 0, 1)
    half_width = q["chest_width"] * np.clip(1 - (1 - height) ** 2.5, 1e-4, 1) ** 0.48
    half_width = half_width * (1 + q["yaw"] * np.sign(x) * 0.35)  # a rotated patient shows one side wider
    depth = _dome(1 - (x / half_width) ** 2) * (0.45 + 0.55 * np.minimum(1, 1.8 * height)) * 0.80 * q["thickness"]
    return depth, height, half_width


def _diaphragm(q, x, side):
    level = q["diaphragm"] + q["left_drop"] * (side > 0)
    return level + q["dome"] * ((np.abs(x) - 0.34) / 0.34) ** 2


def _lungs(q, x, y, chest):
    """Side (-1 image left, 1 image right), air thickness of the lungs, heart thickness."""
    middle = q["yaw"] * 0.5 + q["spine_curve"] * np.sin(2.2 * y)
    side = np.where(x < middle, -1.0, 1.0).astype(np.float32)
    thymus = q["thymus"] * np.exp(-(((y + 0.30) / 0.20) ** 2)) * (1 - 0.3 * side)
    knob = q["aorta"] * np.exp(-(((y + 0.27) / 0.08) ** 2)) * (side > 0)
    hilum = 0.022 * np.exp(-(((y + 0.02) / 0.13) ** 2))
    edge = q["mediastinum"] + thymus + knob + hilum + 0.10 * np.clip(q["apex"] + 0.25 - y, 0, 1)
    beside = _sigmoid((np.abs(x - middle) - edge) / 0.016)
    hx, hy = x - q["heart_x"] - middle, y - q["diaphragm"] + q["heart_lift"]
    cos, sin = np.cos(q["heart_tilt"]), np.sin(q["heart_tilt"])
    long, short = (cos * hx + sin * hy) / (0.36 * q["heart_size"]), (cos * hy - sin * hx) / (0.27 * q["heart_size"])
    heart = 0.72 * q["thickness"] * np.clip(1.15 - np.sqrt(long**2 + short**2 + 1e-4) ** 3, 0, 1) ** 0.6
    line = _diaphragm(q, x, side)
    above = _sigmoid((line - y) / 0.014)
    behind = 0.16 * _sigmoid((line + 0.13 - y) / 0.04)  # the recess behind the dome
    lung = np.clip(chest - heart, 0, None) * beside * (behind + (1 - behind) * above)
    return side, lung, heart


def _bones(q, x, y, half_width, inside):
    """Bone thickness: spine, ribs, clavicles, shoulder blades, arms, jaw."""
    middle = q["spine_curve"] * np.sin(2.2 * y) + q["yaw"] * 0.12
    across = (x - middle) / (q["spine_width"] * (1 + 0.25 * np.clip(y, -0.6, 1)))
    phase = y / (q["vertebra_pitch"] * (1 + 0.18 * y)) + q["vertebra_phase"]
    disc = _sigmoid((np.cos(2 * np.pi * phase) - 0.55) * 9)
    pedicles = np.exp(-(((np.abs(across) - 0.58) / 0.20) ** 2)) * np.clip(np.cos(2 * np.pi * (phase + 0.62)), 0, 1) ** 2
    spinous = np.exp(-((across / 0.16) ** 2)) * np.clip(np.cos(2 * np.pi * (phase + 0.35)), 0, 1) ** 3
    spine = _dome(1 - across**2) ** 0.7 * (0.40 - 0.16 * disc) + (np.abs(across) < 1.2) * (0.16 * pedicles + 0.14 * spinous)

    a = np.clip(np.abs(x - middle) / half_width, 0, 1.15)
    sheet = 0.6 / np.sqrt(np.clip(1 - a**2, 0, 1) + 0.09)  # rays graze the rib cage at its sides
    cage = _sigmoid((1.03 - a) / 0.012) * (y > q["apex"] - 0.1)
    pitch = q["rib_pitch"]
    back = q["rib_slope"] * a**2 - 0.11 * np.sin(np.pi * np.clip(a, 0, 1)) + 0.16 * a**8
    index = (y - q["apex"] - 0.02 - back) / pitch + 0.05 * np.sin(5 * y + 9 * q["vertebra_phase"])
    posterior = _rib(index, q["rib_width"]) * (a > 0.10) * (index > -0.5) * (index < q["rib_count"] - 0.5)
    front = q["rib_slope"] + 0.16 + 0.52 * np.clip(1 - a, 0, 1) ** 0.75
    index = (y - q["apex"] - 0.02 - front) / (pitch * 1.06) + 0.06 * np.sin(4 * y + 5 * q["vertebra_phase"])
    anterior = _rib(index, q["rib_width"] * 1.1) * _sigmoid((a - 0.50) / 0.04) * (index > -0.5) * (index < 6.5)
    ribs = cage * sheet * (0.44 * posterior + 0.19 * anterior)

    ax = np.abs(x - q["yaw"] * 0.2)
    jx, jy, ex, ey = _arms(q)
    inner, outer = q["apex"] + 0.09 + 0.3 * q["clavicle_rise"], jy - 0.03 - q["clavicle_rise"]
    bow = 0.035 * np.sin(2 * np.pi * np.clip((ax - 0.07) / (jx - 0.1), 0, 1))
    clavicle = 0.34 * _dome(1 - _capsule(ax, y + bow, 0.08, inner, jx - 0.06, outer) / 0.030**2)
    blade = 0.05 * _dome(1 - _capsule(np.abs(x), y, jx - 0.05, jy + 0.05, jx - 0.02 - 0.04 * q["arm"], jy + 0.48) / 0.10**2)
    blade = blade + 0.13 * _dome(1 - _capsule(np.abs(x), y, jx + 0.045, jy + 0.1, jx + 0.01, jy + 0.46) / 0.022**2)
    humerus = _dome(1 - _capsule(np.abs(x), y, jx + 0.05, jy, ex, ey) / 0.058**2)
    joint = _dome(1 - ((np.abs(x) - jx - 0.03) ** 2 + (y - jy) ** 2) / 0.085**2)
    jaw_r = (x / 0.36) ** 2 + ((y - q["apex"] + 0.64 - q["head"]) / 0.30) ** 2
    jaw = 0.5 * np.exp(-(((np.sqrt(jaw_r) - 0.9) / 0.09) ** 2)) + 0.4 * (jaw_r < 0.75)
    return (spine + ribs + clavicle + blade + 0.30 * humerus + 0.22 * joint + jaw) * inside


def _rib(index, width):
    """Profile of a rib, a tube with a brighter rim; `index` counts ribs along y."""
    off = np.abs(index - np.round(index)) / (0.5 * width)
    return _dome(1 - off**2) * (0.75 + 0.5 * off**2)


def _vessels(p, q, size):
    """Vessel thickness, and the central airways that stay open inside a consolidation; drawn as dots along branches."""
    n = len(p["tilt"])
    step = np.linspace(0, 1, max(14, size // 5), dtype=np.float32)
    total = []
    for level in range(3):
        line = p[f"branch{level}"]  # [n, branches, 6]: x0, y0, angle, length, bend, calibre
        x0, y0, angle, length, bend, calibre = (line[..., i, None] for i in range(6))
        turn = angle + bend * step
        x = x0 + length * step * np.cos(turn)
        y = y0 + length * step * np.sin(turn)
        weight = calibre * (1 - 0.65 * step) * length
        total.append(_splat(q, x, y, weight / len(step), n, size))
    wide, thin = total[0], total[1] + total[2]
    vessel = 0.42 * _blur(wide, 0.014) + 0.55 * _blur(thin, 0.009)
    return vessel, np.clip(0.9 * _blur(wide + 0.5 * total[1], 0.012), 0, 1)


def _splat(q, x, y, weight, n, size):
    """Sum weighted dots [n, branches, steps] into maps [n, size, size], each shared among its four nearest pixels."""
    x, y, weight = x.reshape(n, -1), y.reshape(n, -1), weight.reshape(n, -1)
    cos, sin, zoom, stretch = (q[k].reshape(n, 1) for k in ("cos", "sin", "zoom", "stretch"))
    x, y = x * zoom, y * zoom * stretch
    x, y = cos * x - sin * y + q["shift_x"].reshape(n, 1), sin * x + cos * y + q["shift_y"].reshape(n, 1)
    column, row = np.clip((x + 1) / 2 * size - 0.5, 0, size - 1.01), np.clip((y + 1) / 2 * size - 0.5, 0, size - 1.01)
    c0, r0 = column.astype(np.int64), row.astype(np.int64)
    fc, fr = column - c0, row - r0
    base = (np.arange(n)[:, None] * size + r0) * size + c0
    out = np.zeros(n * size * size)
    for dr, dc, part in ((0, 0, (1 - fr) * (1 - fc)), (0, 1, (1 - fr) * fc), (1, 0, fr * (1 - fc)), (1, 1, fr * fc)):
        out += np.bincount((base + dr * size + dc).ravel(), (weight * part).ravel(), len(out))
    return (out.reshape(n, size, size) * (size / 2) ** 2 * 0.02).astype(np.float32)


def _opacity(p, q, x, y, side, height, half_width, fields, bronchus, size):
    """Share of the air that inflammation has replaced (below 0: trapped air on top): lobar consolidation or interstitial texture."""
    a = np.abs(x) / half_width
    coarse, middle, fine = (_field(fields[k][:, 1], size) for k in (COARSE, MIDDLE, FINE))
    lobar = np.zeros_like(a)
    for k in range(p["focus"].shape[1]):  # at most three foci: side, centre (across, down), radius, softness, strength
        fs, fa, fh, radius, soft, strength = (p["focus"][:, k, i].reshape(-1, 1, 1) for i in range(6))
        far = np.sqrt(((a - fa) / 1.15) ** 2 + ((height - fh) / 0.85) ** 2 + 1e-6) / radius
        shape = _sigmoid((1 - far + 0.22 * coarse + 0.10 * middle) / soft)
        lobar = np.maximum(lobar, shape * strength * (side == fs))
    lobar = lobar * np.clip(0.80 + 0.24 * middle + 0.20 * fine - 0.8 * bronchus, 0.1, 1)
    # Interstitial: thin bright ridges (where a random field crosses zero), thickest around the hila, on both sides
    ridge = np.clip(1 - np.abs(middle) / 0.38, 0, 1) * 0.7 + np.clip(1 - np.abs(fine) / 0.45, 0, 1) * 0.6
    where = np.exp(-(((a - 0.38) / q["spread"]) ** 2) - ((height - 0.55) / (q["spread"] * 0.95)) ** 2)
    # … with air trapped between them, as in bronchiolitis, so that the lung is hardly brighter on the whole
    diffuse = q["interstitial"] * where * np.clip(1.2 * ridge - 0.06 + 0.12 * coarse, -0.25, 1.2)
    return np.clip(lobar + diffuse, -0.2, 0.97)


def _gas(q, x, y):
    """Air outside the lungs: trachea and main bronchi, gastric bubble, bowel loops."""
    middle = q["spine_curve"] * np.sin(2.2 * y) + q["yaw"] * 0.4
    fork = -0.16
    spread = 0.42 * np.clip(y - fork, 0, None)
    off = (np.abs(x - middle - 0.01) - spread) / q["trachea"]
    airway = 0.13 * _dome(1 - off**2) * _sigmoid((fork + 0.20 - y) / 0.03)
    top = q["diaphragm"] + q["left_drop"] + 0.05
    bx, by = (x - q["bubble_x"]) / q["bubble_size"], (y - top - 0.8 * q["bubble_size"]) / (0.8 * q["bubble_size"])
    bubble = q["bubble_depth"] * _dome(1 - bx**2 - by**2)
    loops = np.zeros_like(bubble)
    for k in (1.0, 2.0):
        lx = (x - 0.5 * np.sin(k * 9 * q["bowel"])) / (0.10 + 0.05 * q["bowel"])
        ly = (y - 0.90 - 0.08 * np.cos(k * 7 * q["bowel"])) / 0.07
        loops = loops + 0.12 * _dome(1 - lx**2 - ly**2)
    return airway + bubble + loops


def _film(q, depth, size, rng, fields):
    """Transmission, scatter, penumbra, film curve, quantum noise, grid, collimation and marker; uint8 out."""
    n = len(depth)
    beam = 1.0 + 0.10 * _field(fields[COARSE][:, 2], size)
    primary = np.minimum(np.exp(-depth * q["hardness"]) * np.clip(beam, 0.6, 1.4), 1)
    photons = primary + q["scatter"] * _blur(np.minimum(primary, 0.5), 0.22)
    photons = _blur(photons, q["blur"])
    photons = photons * (1 + q["noise"] * rng.standard_normal(photons.shape, dtype=np.float32) / np.sqrt(photons + 0.03))
    stripes = np.cos(0.83 * np.pi * np.arange(size, dtype=np.float32))  # a grid finer than the pixels beats against them
    density = -np.log(np.clip(photons, 1e-3, None)) + q["grid"] * stripes
    # Automatic exposure: the reader stretches most of the film over its range
    low, high = np.percentile(density[:, ::3, ::3].reshape(n, -1), (8, 92), axis=1)
    level = (density - low.reshape(n, 1, 1)) / (high - low + 0.2).reshape(n, 1, 1)
    tone = _sigmoid((level - 0.5 + q["exposure"]) * q["contrast"])
    black = _sigmoid((-0.9 + q["exposure"]) * q["contrast"])
    image = (tone - black) / (1.02 - black) * q["brightest"]
    image = _mark(q, _collimate(q, image, size), size)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _collimate(q, image, size):
    """Close the collimator: outside it the film is unexposed, here a dark or a white border."""
    at = _centres(size)
    x, y = at[None, None, :], at[None, :, None]
    inside = (x > q["left"] - 1) & (x < 1 - q["right"]) & (y > q["top"] - 1) & (y < 1 - q["bottom"])
    return np.where(inside, image, q["border"])


def _mark(q, image, size):
    """Burn in the side marker: a lead letter, white, at its place and size."""
    at = _centres(size)
    u = (at[None, None, :] - q["marker_x"]) / (q["marker_size"] * 5 / 7)
    v = (at[None, :, None] - q["marker_y"]) / q["marker_size"]
    column, row = np.clip((u + 0.5) * 5, 0, 4.99).astype(np.int64), np.clip((v + 0.5) * 7, 0, 6.99).astype(np.int64)
    dots = GLYPHS[q["marker_letter"].astype(np.int64), row, column] * q["marker_level"]
    dots = dots * (np.abs(u) < 0.5) * (np.abs(v) < 0.5)
    return np.maximum(image, _blur(dots, 0.5 / size) if size < 160 else dots)
