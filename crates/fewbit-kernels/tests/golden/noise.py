"""Golden values of the noise, from the description alone: keys, words and noise of some weights.

Run by hand: python3 noise.py > noise.txt. Arithmetic is exact (fractions), rounded to f32 wherever the
kernels round. Needs nothing but Python. The lines are never regenerated in passing: a change of them
changes what every seed means.
"""
import struct
from fractions import Fraction

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def key_of(seed, replica, step, micro_step, path):
    h = 0xCBF29CE484222325
    for byte in path.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK64
    state = 0
    for word in (seed, replica, step, micro_step, h):
        state = mix(((state + 0x9E3779B97F4A7C15) & MASK64) ^ word)
    return state


def words(key, index):
    pair = index // 256 * 128 + index % 128
    folded = mix(key ^ mix(((pair >> 32) + 0x9E3779B97F4A7C15) & MASK64))
    x = ((pair & MASK32) + (folded & MASK32)) & MASK32
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & MASK32
    x = ((x ^ (x >> 15) ^ (folded >> 32)) * 0xD35A2D97) & MASK32
    x ^= x >> 15
    return x, ((x ^ (x >> 16)) * 0x7FEB352D) & MASK32


def f32(exact):
    """The f32 nearest to a fraction, ties to even; normal numbers and 0 only."""
    exact = Fraction(exact)
    if exact == 0:
        return Fraction(0)
    sign, size = (-1, -exact) if exact < 0 else (1, exact)
    exponent = 0
    while size >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    return sign * round(size / unit) * unit  # round() of a fraction takes ties to even


def bits(x):
    return struct.unpack("<I", struct.pack("<f", float(x)))[0]


def from_bits(b):
    return Fraction(struct.unpack("<f", struct.pack("<I", b))[0])


def signed(word):
    return word - (1 << 32) if word >> 31 else word


def polynomial(coefficients, x):
    coefficients = [f32(Fraction(c)) for c in coefficients]
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = f32(total * x + c)  # fused: one rounding
    return total


def minus_half_ln(whole):
    half_ln_2 = f32(Fraction("0.34657383"))
    distance = (bits(whole) - 0x3F2AAAAB) & 0xFF800000
    f = f32(from_bits(bits(whole) - distance) - 1)
    base = f32(f32(distance) * -half_ln_2 / 2**23 + f32(24 * half_ln_2))
    ln = ["-0.500003", "0.2496371", "-0.16613796", "0.13768266", "-0.11285473"]
    return f32(f * polynomial(ln, f) + base)


def sqrt(x):
    guess = from_bits(0x5F378160 - (bits(x) >> 1))
    near = f32(x * guess)
    root = ["1.8751391", "-1.2491727", "0.37403548"]
    return f32(near * polynomial(root, f32(near * guess)))


def noise(key, law, index):
    first, second = words(key, index)
    is_first = index % 256 < 128
    if law == "uniform":
        return f32(f32(signed(first if is_first else second)) / 2**32)
    radius = sqrt(minus_half_ln(f32((first & 0xFFFFFF) + 1)))
    radius = -radius if first >> 31 else radius
    angle = f32(f32(signed(second)) / 2**31)
    square = f32(angle * angle)
    if is_first:
        return f32(radius * polynomial(["0.9999933", "-1.2334845", "0.25258023", "-0.019095736"], square))
    sin = polynomial(["1.5707952", "-0.64592594", "0.07950065", "-0.004371015"], square)
    return f32(radius * f32(angle * sin))


KEYS = [
    (0, 0, 0, 0, ""),
    (42, 0, 1000, 0, "conv1.weight"),
    (2**64 - 1, 2**32 - 1, 2**64 - 1, 2**32 - 1, "layers.11.attention.query.weight"),
    (7, 3, 12345678901, 2, "größe.µ"),
]
INDICES = [0, 1, 127, 128, 255, 256, 1000, 2**31, 2**33 - 1, 2**33, 2**40 + 129]

for ingredients in KEYS:
    key = key_of(*ingredients)
    print("key", *ingredients[:4], f"{key:016x}", ingredients[4])
    for law in ("gaussian", "uniform"):
        for index in INDICES:
            print("noise", f"{key:016x}", law, index, f"{bits(noise(key, law, index)):08x}")
