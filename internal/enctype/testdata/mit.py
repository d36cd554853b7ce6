#!/usr/bin/env python3
"""Writes mit.json: results of MIT krb5's own libk5crypto (1.20.1, built-in
crypto back end) for the tests of this package. Run it as

    python3 mit.py > mit.json

The keys are fixed; confounders are MIT's random ones, so a new run gives other
ciphertexts.
"""
import ctypes as c
import hashlib
import json

lib = c.CDLL("libk5crypto.so.3")


class Data(c.Structure):
    _fields_ = [("magic", c.c_int32), ("length", c.c_uint), ("data", c.c_void_p)]


class Keyblock(c.Structure):
    _fields_ = [("magic", c.c_int32), ("enctype", c.c_int32), ("length", c.c_uint), ("contents", c.c_void_p)]


class EncData(c.Structure):
    _fields_ = [("magic", c.c_int32), ("enctype", c.c_int32), ("kvno", c.c_uint), ("ciphertext", Data)]


class Checksum(c.Structure):
    _fields_ = [("magic", c.c_int32), ("type", c.c_int32), ("length", c.c_uint), ("contents", c.c_void_p)]


def data(b):
    buf = c.create_string_buffer(bytes(b), len(b) + 1)
    d = Data(0, len(b), c.cast(buf, c.c_void_p))
    d.keep = buf
    return d


def text(d):
    return c.string_at(d.data, d.length).hex() if d.length else ""


def key(etype, b):
    buf = c.create_string_buffer(bytes(b), len(b) + 1)
    k = Keyblock(0, etype, len(b), c.cast(buf, c.c_void_p))
    k.keep = buf
    return k


def check(ret):
    if ret:
        raise SystemExit("libk5crypto error %d" % ret)


def pattern(seed, n):
    out = b""
    while len(out) < n:
        out += hashlib.sha256(seed.encode() + bytes([len(out) // 32 & 255])).digest()
    return out[:n]


def encrypt(k, usage, state, plain):
    size = c.c_size_t()
    check(lib.krb5_c_encrypt_length(None, k.enctype, c.c_size_t(len(plain)), c.byref(size)))
    out = EncData(0, 0, 0, data(bytes(size.value)))
    check(lib.krb5_c_encrypt(None, c.byref(k), usage, c.byref(state) if state else None,
                             c.byref(data(plain)), c.byref(out)))
    return text(out.ciphertext)


def chain(k, usage, sizes):
    state = Data()
    check(lib.krb5_c_init_state(None, c.byref(k), usage, c.byref(state)))
    messages = []
    for i, n in enumerate(sizes):
        plain = pattern("chain %d" % i, n)
        before = "" if k.enctype == 23 else text(state)
        cipher = encrypt(k, usage, state, plain)
        messages.append({"plain": plain.hex(), "cipher": cipher, "state": before})
    return messages


def checksum(k, ctype, usage, b):
    out = Checksum()
    ret = lib.krb5_c_make_checksum(None, ctype, c.byref(k), usage, c.byref(data(b)), c.byref(out))
    return None if ret else c.string_at(out.contents, out.length).hex()


def string_to_key(etype, password, salt, params):
    k = Keyblock()
    ret = lib.krb5_c_string_to_key_with_params(None, etype, c.byref(data(password)), c.byref(data(salt)),
                                               c.byref(data(params)) if params else None, c.byref(k))
    return None if ret else c.string_at(k.contents, k.length).hex()


def random_to_key(etype, seed, size):
    k = key(etype, bytes(size))
    check(lib.krb5_c_random_to_key(None, etype, c.byref(data(seed)), c.byref(k)))
    return c.string_at(k.contents, k.length).hex()


def prf(k, b):
    size = c.c_size_t()
    check(lib.krb5_c_prf_length(None, k.enctype, c.byref(size)))
    out = data(bytes(size.value))
    check(lib.krb5_c_prf(None, c.byref(k), c.byref(data(b)), c.byref(out)))
    return text(out)


def prf_plus(k, b, n):
    out = data(bytes(n))
    check(lib.krb5_c_prfplus(None, c.byref(k), c.byref(data(b)), c.byref(out)))
    return text(out)


seeds = {16: 21, 17: 16, 18: 32, 19: 16, 20: 32, 23: 16, 25: 16, 26: 32}
sizes = {16: 24, 17: 16, 18: 32, 19: 16, 20: 32, 23: 16, 25: 16, 26: 32}
passwords = [("password", "ATHENA.MIT.EDUraeburn"), ("x", ""), ("", "KDB.TESTKM"),
             ("pässwörd \U0001d11e", "EXAMPLE.COMpianist"), ("X" * 65, "pass phrase exceeds block size")]

cases = []
for etype in sorted(seeds):
    case = {"enctype": etype, "random_to_key": []}
    for seed in (bytes(seeds[etype]), b"\xff" * seeds[etype], pattern("key", seeds[etype])):
        out = random_to_key(etype, seed, sizes[etype])
        case["random_to_key"].append({"seed": seed.hex(), "key": out})
    k = key(etype, bytes.fromhex(out))
    case["key"] = out
    case["stateless"] = [{"usage": u, "plain": pattern("plain", n).hex(), "cipher": encrypt(k, u, None, pattern("plain", n))}
                         for u, n in [(0, 0), (1, 1), (2, 7), (3, 8), (8, 9), (9, 15), (11, 16), (12, 17), (13, 31),
                                      (23, 32), (1024, 33), (0xffffffff, 100)]]
    case["chain"] = chain(k, 13, [20, 1, 16, 0, 0, 17, 100, 31, 32, 33, 0, 64])
    case["checksums"] = []
    for ctype in (12, 15, 16, 17, 18, 19, 20, -138, -137):
        for usage, n in ((15, 0), (15, 100), (3, 16), (23, 17)):
            b = pattern("sum", n)
            case["checksums"].append({"type": ctype, "usage": usage, "data": b.hex(), "sum": checksum(k, ctype, usage, b)})
    case["prf"] = [{"in": b.hex(), "out": prf(k, b), "plus": prf_plus(k, b, 100)} for b in (b"", b"\x01a", pattern("prf", 100))]
    case["string_to_key"] = []
    for params in ("", "00001001", "00008001", "00000fff", "00000001", "00000000", "ffffffff", "01000000", "0102"):
        for password, salt in passwords[:None if params == "" else 1]:
            out = string_to_key(etype, password.encode(), salt.encode(), bytes.fromhex(params))
            case["string_to_key"].append({"password": password, "salt": salt, "params": params, "key": out})
    cases.append(case)
print(json.dumps(cases, indent=1, ensure_ascii=False))
