# Debian packages by need, for deploy/quickstart and tests/run. Sourced, not run.

# What it takes to build crossfade and to run it beside a memcached.
packages_build="autoconf automake gcc libc6-dev libcrypt-dev make pkg-config xz-utils libevent-dev libssl-dev
    libmemcached-dev libyaml-dev libjansson-dev"
packages_demo="memcached python3 python3-memcache python3-six util-linux"
packages_tests="git openssl clang clang-format libclang-rt-dev libcriterion-dev libmemcached-tools sasl2-bin
    python3-pymemcache python3-pylibmc python3-binary-memcached python3-django procps
    php-cli php-memcached ruby ruby-dalli libcache-memcached-fast-perl libcache-memcached-perl"

# packages_missing NAME...: those that are not installed.
packages_missing() {
    local name
    for name in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) in
        installed) ;;
        *) printf '%s ' "$name" ;;
        esac
    done
}

# packages_install LOG NAME...: installs with apt-get what is missing, and nothing if nothing is.
packages_install() {
    local log=$1 missing
    shift
    if ! command -v dpkg-query > /dev/null; then
        echo "This needs Debian 12 (dpkg and apt-get). Elsewhere install the like of: $*" >&2
        return 1
    fi
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "Not root, and these packages are missing. As root:" >&2
        echo "    apt-get install --no-install-recommends $missing" >&2
        return 1
    fi
    echo "Installing: $missing"
    # The lists first: those of a fresh machine are empty or old.
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } \
        < /dev/null > "$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "apt-get could not install: $missing" >&2
        return 1
    fi
}

# packages_python2 LOG: prints the command of a Python 2, installing Jython where there is none.
# Nothing is printed where there is none to be had.
packages_python2() {
    local finder found
    finder=$(dirname "${BASH_SOURCE[0]}")/demo/runtimes.py
    found=$(/usr/bin/python3 "$finder" python2)
    if [ -z "$found" ]; then
        echo "No Python 2 found; installing Jython instead." >&2
        packages_install "$1" jython >&2 && found=$(/usr/bin/python3 "$finder" python2)
    fi
    printf '%s' "$found"
}
