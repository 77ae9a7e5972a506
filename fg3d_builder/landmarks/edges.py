"""What the point numbers of the two landmark schemes mean.

``mediapipe478`` is the numbering of MediaPipe's Face Mesh (468 surface points and two irises
of five points), ``ibug68`` that of the 300-W annotations. Left and right are the subject's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array

MEDIAPIPE = "mediapipe478"
IBUG = "ibug68"


class Curve(NamedTuple):
    """Points of a feature edge in order along it; a closed curve does not repeat its first.

    Attributes
    ----------
    points : tuple of int
        Numbers of landmarks.
    closed : bool
    """

    points: tuple[int, ...]
    closed: bool


# fmt: off
MEDIAPIPE_CURVES: dict[str, Curve] = {
    "right_eye": Curve(
        (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246), True
    ),
    "left_eye": Curve(
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466), True
    ),
    "right_brow_upper": Curve((70, 63, 105, 66, 107), False),
    "right_brow_lower": Curve((46, 53, 52, 65, 55), False),
    "left_brow_upper": Curve((300, 293, 334, 296, 336), False),
    "left_brow_lower": Curve((276, 283, 282, 295, 285), False),
    "outer_lips": Curve((
        61, 146, 91, 181, 84, 17, 314, 405, 321, 375,
        291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    ), True),
    "inner_lips": Curve((
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324,
        308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    ), True),
}
# fmt: on
"""Eyes, brows and lips: what `E_edge` (Eq. 9) ties to the image."""

MEDIAPIPE_NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327)
"""Bridge, tip and base of the nose: no edges, but as stable as such."""

MEDIAPIPE_RIDGE = (168, 6, 197, 195, 5, 4)
"""The nose's ridge from its root to its tip."""

# fmt: off
MEDIAPIPE_OVAL = Curve((
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288,
    397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
), True)
# fmt: on
"""The outline of the face, clockwise in the image from the forehead: it slides with pose."""

MEDIAPIPE_IRISES = tuple(range(468, 478))
"""Right iris, then left iris; they follow the gaze and are not on the skin."""

IBUG_CURVES: dict[str, Curve] = {
    "right_eye": Curve(tuple(range(36, 42)), True),
    "left_eye": Curve(tuple(range(42, 48)), True),
    "right_brow": Curve(tuple(range(17, 22)), False),
    "left_brow": Curve(tuple(range(22, 27)), False),
    "outer_lips": Curve(tuple(range(48, 60)), True),
    "inner_lips": Curve(tuple(range(60, 68)), True),
}


# fmt: off
MEDIAPIPE_OF_IBUG = (
    127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 81, 13, 311, 308, 402, 14, 178,
)
# fmt: on
"""The MediaPipe point nearest to each of the 68; jaw points are near in meaning only."""


def edge_points(scheme: str) -> Array:
    """Return the sorted numbers of the scheme's points that enter Eq. 9.

    Eyes, brows and lips, and the points of the nose that are as good as such.

    Raises
    ------
    ValueError
        Unknown scheme.
    """
    more: tuple[int, ...]
    if scheme == MEDIAPIPE:
        curves, more = MEDIAPIPE_CURVES, MEDIAPIPE_NOSE
    elif scheme == IBUG:
        curves, more = IBUG_CURVES, tuple(range(27, 36))
    else:
        raise ValueError(f"unknown landmark scheme '{scheme}'; known are {MEDIAPIPE}, {IBUG}")
    points = {p for curve in curves.values() for p in curve.points} | set(more)
    return np.array(sorted(points), dtype=np.int32)


def mediapipe_mirror() -> Array:
    """Return the (478,) numbers of the points on the other side of the face.

    A left-right flip of an image turns point ``i`` into point ``mirror[i]``; points of the
    middle line stay.
    """
    mirror = np.arange(478)
    for pair in _MIRROR_PAIRS.split():
        a, b = map(int, pair.split(":"))
        mirror[a], mirror[b] = b, a
    # Each iris: centre, then four points of the rim, of which two are at the sides.
    mirror[468:473] = (473, 476, 475, 474, 477)
    mirror[473:478] = (468, 471, 470, 469, 472)
    return mirror


_MIRROR_PAIRS = """
3:248 7:249 20:250 21:251 22:252 23:253 24:254 25:255 26:256 27:257 28:258 29:259 30:260
31:261 32:262 33:263 34:264 35:265 36:266 37:267 38:268 39:269 40:270 41:271 42:272 43:273
44:274 45:275 46:276 47:277 48:278 49:279 50:280 51:281 52:282 53:283 54:284 55:285 56:286
57:287 58:288 59:289 60:290 61:291 62:292 63:293 64:294 65:295 66:296 67:297 68:298 69:299
70:300 71:301 72:302 73:303 74:304 75:305 76:306 77:307 78:308 79:309 80:310 81:311 82:312
83:313 84:314 85:315 86:316 87:317 88:318 89:319 90:320 91:321 92:322 93:323 95:324 96:325
97:326 98:327 99:328 100:329 101:330 102:331 103:332 104:333 105:334 106:335 107:336 108:337
109:338 110:339 111:340 112:341 113:342 114:343 115:344 116:345 117:346 118:347 119:348
120:349 121:350 122:351 123:352 124:353 125:354 126:355 127:356 128:357 129:358 130:359
131:360 132:361 133:362 134:363 135:364 136:365 137:366 138:367 139:368 140:369 141:370
142:371 143:372 144:373 145:374 146:375 147:376 148:377 149:378 150:379 153:380 154:381
155:382 156:383 157:384 158:385 159:386 160:387 161:388 162:389 163:390 165:391 166:392
167:393 169:394 170:395 171:396 172:397 173:398 174:399 176:400 177:401 178:402 179:403
180:404 181:405 182:406 183:407 184:408 185:409 186:410 187:411 188:412 189:413 190:414
191:415 192:416 193:417 194:418 196:419 198:420 201:421 202:422 203:423 204:424 205:425
206:426 207:427 208:428 209:429 210:430 211:431 212:432 213:433 214:434 215:435 216:436
217:437 218:438 219:439 220:440 221:441 222:442 223:443 224:444 225:445 226:446 227:447
228:448 229:449 230:450 231:451 232:452 233:453 234:454 235:455 236:456 237:457 238:458
239:459 240:460 241:461 242:462 243:463 244:464 245:465 246:466 247:467
"""
