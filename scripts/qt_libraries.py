"""Name, or install, the system libraries that Qt stands on and this Linux lacks.

Usage: python scripts/qt_libraries.py [--install]

PyQt6's wheels bring all of Qt, but neither X11, OpenGL, NSS, ... nor a font. With
--install the missing ones are installed, where we are root and there is apt-get; else
the command that installs them is printed. Ends with 1 if any are still missing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

# What Orange's windows load of Qt; ldd follows these to all the rest
QT_FILES = [
    "plugins/platforms/libqxcb.so",
    "plugins/platforms/libqoffscreen.so",
    "plugins/xcbglintegrations/*.so",
    "plugins/iconengines/*.so",
    "plugins/imageformats/*.so",
    "lib/libQt6PrintSupport.so.6",
    "lib/libQt6SvgWidgets.so.6",
    "lib/libQt6WebEngineWidgets.so.6",
    "libexec/QtWebEngineProcess",
]

FONT = "fonts-dejavu-core"
PACKAGES = {
    "libasound.so.2": "libasound2",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libdrm.so.2": "libdrm2",
    "libEGL.so.1": "libegl1",
    "libexpat.so.1": "libexpat1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgbm.so.1": "libgbm1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libGLX.so.0": "libglx0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libnspr4.so": "libnspr4",
    "libnss3.so": "libnss3",
    "libnssutil3.so": "libnss3",
    "libOpenGL.so.0": "libopengl0",
    "libplc4.so": "libnspr4",
    "libplds4.so": "libnspr4",
    "libsmime3.so": "libnss3",
    "libudev.so.1": "libudev1",
    "libwayland-server.so.0": "libwayland-server0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-dri3.so.0": "libxcb-dri3-0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xinput.so.0": "libxcb-xinput0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libXcomposite.so.1": "libxcomposite1",
    "libXdamage.so.1": "libxdamage1",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbfile.so.1": "libxkbfile1",
    "libXrandr.so.2": "libxrandr2",
    "libXrender.so.1": "libxrender1",
    "libXtst.so.6": "libxtst6",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}
# Renamed in Debian 13 and Ubuntu 24.04, as their time_t has 64 bits on every machine
RENAMED = {"libasound2": "libasound2t64", "libglib2.0-0": "libglib2.0-0t64"}


def qt_folder() -> Path:
    """Return the folder of Qt's own files, without loading any of them."""
    spec = find_spec("PyQt6")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("PyQt6 is not installed: pip install -e '.[gui]'")
    return Path(spec.submodule_search_locations[0]) / "Qt6"


def missing_libraries() -> list[str]:
    """Return the names, such as libxcb-cursor.so.0, that the loader does not find."""
    folder = qt_folder()
    files = [str(path) for name in QT_FILES for path in folder.glob(name)]
    if not files or shutil.which("ldd") is None:
        return []  # a Qt that is not from a wheel is its packager's care
    output = subprocess.run(
        ["ldd", *files],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    lines = (line.split() for line in output.splitlines() if "=> not found" in line)
    return sorted({words[0] for words in lines})


class FontSet(ctypes.Structure):
    """The head of fontconfig's FcFontSet."""

    _fields_ = [("count", ctypes.c_int)]


def has_font() -> bool:
    """Tell whether Qt, which asks fontconfig, has anything to write with."""
    try:
        fontconfig = ctypes.CDLL("libfontconfig.so.1")
    except OSError:
        return False
    fontconfig.FcInitLoadConfigAndFonts.restype = ctypes.c_void_p
    fontconfig.FcConfigGetFonts.argtypes = [ctypes.c_void_p, ctypes.c_int]
    fontconfig.FcConfigGetFonts.restype = ctypes.POINTER(FontSet)
    fonts = fontconfig.FcConfigGetFonts(fontconfig.FcInitLoadConfigAndFonts(), 0)
    return bool(fonts) and fonts.contents.count > 0


def packages_for(libraries: list[str]) -> list[str]:
    """Return Debian's packages of these libraries, as this release names them."""
    names = {PACKAGES[library] for library in libraries if library in PACKAGES}
    renamed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}\n", "*t64"],
        capture_output=True,
        text=True,
    )
    if "installed" in renamed.stdout.split():
        names = {RENAMED.get(name, name) for name in names}
    return sorted(names)


def install(packages: list[str]) -> None:
    """Install the packages, or print why apt-get did not."""
    print(f"==> Installing what Qt needs: {' '.join(packages)}", flush=True)
    apt_get = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    for command in (
        [*apt_get, "update"],
        [*apt_get, "install", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        if done.returncode:
            print(*done.stdout.splitlines()[-15:], sep="\n")
            return


def find() -> tuple[list[str], list[str]]:
    """Return what is missing: libraries' names, and 'a font'; and its packages."""
    libraries = missing_libraries()
    font = has_font()
    missing = libraries if font else [*libraries, "a font"]
    if not missing or shutil.which("apt-get") is None:
        return missing, []
    return missing, packages_for(libraries) + ([] if font else [FONT])


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--install"]):
        raise SystemExit(__doc__)
    if sys.platform != "linux":
        return 0
    root = os.geteuid() == 0
    missing, packages = find()
    if packages and root and arguments:
        install(packages)
        missing, packages = find()
    if not missing:
        return 0
    print(f"Qt may not work, as this system lacks {', '.join(missing)}.")
    if packages:
        sudo = "" if root else "sudo "
        print(f"To install them: {sudo}apt-get install {' '.join(packages)}")
    else:
        print("Install the packages of your system that have these files.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
