"""Where a Python 2 and a Python 3 with memcache client libraries are on this machine.

As a program:  runtimes.py python2 | python3   prints the command, or nothing where there is none.
"""
import glob
import os
import shutil
import subprocess
import sys

# Debian ships these for Python 3 only, but their source runs under 2.7 too.
MODULES_FOR_BOTH = ("memcache", "pymemcache", "six")


def answer(command, code):
    """What this Python prints for this code; None when it does not run."""
    try:
        done = subprocess.run(list(command) + ["-c", code], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


def python2_candidates():
    if os.environ.get("CROSSFADE_PYTHON2"):
        yield os.environ["CROSSFADE_PYTHON2"]
    for name in ("python2.7", "python2"):
        found = shutil.which(name)
        if found:
            yield found
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode().strip()
        yield from sorted(glob.glob(os.path.join(root, "versions", "2.7*", "bin", "python2.7")))
    found = shutil.which("jython")
    if found:
        yield found


def python2():
    """The path of a Python 2, or None. A pyenv shim is there without what it stands for: each is run."""
    for candidate in python2_candidates():
        # Jython's sys.executable may be missing, and then the command itself has to do.
        found = answer([candidate], "import sys; print(sys.version_info[0] == 2 and "
                                    "('java' not in sys.platform and sys.executable or 'jython'))")
        if found == "jython":
            return candidate
        if found and found != "False":
            return found
    return None


def python3(modules=("memcache",)):
    """The path of a Python 3 that has these modules, or None."""
    for candidate in (sys.executable, "/usr/bin/python3", shutil.which("python3")):
        if candidate and answer([candidate], "import " + ", ".join(modules)) is not None:
            return candidate
    return None


def version(command):
    """As in "Python 2.7.18"."""
    return answer([command], "import sys, platform; print('%s %s' % (platform."
                             "python_implementation().replace('CPython', 'Python'), "
                             "'.'.join(map(str, sys.version_info[:3]))))")


def modules_for_python2(folder, python3_command):
    """Copies the client libraries, and nothing else, into the folder; gives back its path.

    Copies, since Python 2 writes its compiled files beside the source; nothing else, since most of
    Python 3's folder of packages does not work under Python 2 and hides what does.
    """
    code = "import %s; print('\\n'.join(m.__file__ for m in (%s,)))"
    for name in MODULES_FOR_BOTH:
        path = answer([python3_command], code % (name, name))
        if path is None:
            continue
        if os.path.basename(path) == "__init__.py":
            shutil.copytree(os.path.dirname(path), os.path.join(folder, name),
                            ignore=shutil.ignore_patterns("__pycache__", "test"))
        else:
            shutil.copy(path, folder)
    return folder


if __name__ == "__main__":
    print({"python2": python2, "python3": python3}[sys.argv[1]]() or "")
