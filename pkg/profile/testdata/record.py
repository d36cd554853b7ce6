#!/usr/bin/env python3
"""Records what the real libkrb5 makes of tricky input, into recorded.json.

Run it in this directory on a machine with MIT's libkrb5.so.3 (Debian 12:
1.20.1-2+deb12u5). Bytes above 0x7f are written as the code points of the same
number. @DIR@ in a file stands for the directory that the files are in.
"""
import ctypes
import json
import os
import tempfile

krb5 = ctypes.CDLL("libkrb5.so.3")
strings = ctypes.POINTER(ctypes.c_char_p)


def take_list(func, profile, path):
    out = strings()
    names = (ctypes.c_char_p * (len(path) + 1))(*path, None)
    if func(profile, names, ctypes.byref(out)):
        return []
    found = []
    while out[len(found)] is not None:
        found.append(out[len(found)])
    return list(dict.fromkeys(found)) if func != krb5.profile_get_values else found


def tree(profile, path):
    """One line for each relation: its path and all its values."""
    lines = []
    for name in take_list(krb5.profile_get_relation_names, profile, path):
        values = take_list(krb5.profile_get_values, profile, path + [name])
        lines.append([p.decode("latin1") for p in path + [name]] + [[v.decode("latin1") for v in values]])
    for name in take_list(krb5.profile_get_subsection_names, profile, path):
        lines.append([p.decode("latin1") for p in path + [name]])
        lines += tree(profile, path + [name])
    return lines


def read(case):
    with tempfile.TemporaryDirectory() as d:
        for name, text in case["files"].items():
            p = os.path.join(d, name)
            os.makedirs(os.path.dirname(p), exist_ok=True)
            with open(p, "wb") as f:
                f.write(text.replace("@DIR@", d).encode("latin1"))
        profile = ctypes.c_void_p()
        names = ":".join(d + "/" + n for n in case.get("list", ["a"]))
        if krb5.profile_init_path(names.encode(), ctypes.byref(profile)):
            return {**case, "refused": True}
        lines = tree(profile, [])
        krb5.profile_release(profile)
        return {**case, "tree": lines}


def duration(text):
    d = ctypes.c_int32()
    if krb5.krb5_string_to_deltat(text.encode(), ctypes.byref(d)):
        return None
    return d.value


def context(conf, use):
    """Calls use with a context made from conf, in a process of its own."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        path = tempfile.mkdtemp() + "/krb5.conf"
        with open(path, "w") as f:
            f.write(conf)
        os.environ["KRB5_CONFIG"] = path
        ctx = ctypes.c_void_p()
        result = None if krb5.krb5_init_context(ctypes.byref(ctx)) else use(ctx)
        os.write(w, json.dumps(result).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        result = json.loads(f.read())
    os.waitpid(pid, 0)
    return result


def enctypes(func):
    def use(ctx):
        ids = ctypes.POINTER(ctypes.c_int32)()
        if func(ctx, ctypes.byref(ids)):
            return None
        found = []
        while ids[len(found)]:
            found.append(ids[len(found)])
        return found
    return use


class Server(ctypes.Structure):
    _fields_ = [("host", ctypes.c_char_p), ("port", ctypes.c_int), ("transport", ctypes.c_int),
                ("path", ctypes.c_char_p), ("family", ctypes.c_int), ("primary", ctypes.c_int),
                ("addrlen", ctypes.c_size_t), ("addr", ctypes.c_char * 128)]


class Servers(ctypes.Structure):
    _fields_ = [("list", ctypes.POINTER(Server)), ("n", ctypes.c_size_t)]


class Data(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_int), ("length", ctypes.c_uint), ("data", ctypes.c_char_p)]


def kdcs(ctx):
    servers, realm = Servers(), Data(0, 1, b"R")
    if krb5.k5_locate_kdc(ctx, ctypes.byref(realm), ctypes.byref(servers), 0, 0):
        return None
    found = []
    for i in range(servers.n):
        s = servers.list[i]
        if s.transport == 0:  # either protocol, not HTTPS
            host = (s.host or b"").decode()
            found.append("%s:%d" % (host if ":" not in host else "[" + host + "]", s.port))
    return found


def main():
    with open("cases.json") as f:
        cases = json.load(f)
    realm = "[libdefaults]\n default_realm = R\n dns_lookup_kdc = false\n"
    out = {
        "profiles": [read(c) for c in cases["profiles"]],
        "durations": {t: duration(t) for t in cases["durations"]},
        "permitted": {t: context(realm + t, enctypes(krb5.krb5_get_permitted_enctypes)) for t in cases["enctypes"]},
        "tkt": {t: context(realm + t, enctypes(krb5.krb5_get_default_in_tkt_ktypes)) for t in cases["enctypes"]},
        "kdcs": {t: context(realm + "[realms]\nR = {\n" + t + "\n}\n", kdcs) for t in cases["kdcs"]},
    }
    with open("recorded.json", "w") as f:
        json.dump(out, f, indent=1, ensure_ascii=True)
        f.write("\n")


main()
