# Stops the server when regcred is gone, however it went. Standard input is a pipe whose other end only regcred holds:
# its orders come from there, and its end is the end of that pipe. The arguments are directories to remove at last.
trap '' HUP INT TERM

pid=
while IFS=' ' read -r order value; do
    case $order in
        watch) pid=$value ;;
        forget) pid= ;;
    esac
done

# Whether the process is still the server, alive; without /proc, whether there is such a process.
running() {
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
    [ -d /proc/self ] || return 0
    [ -e "/proc/$pid/exe" ] || return 1
    read -r name <"/proc/$pid/comm" && { [ "$name" = postgres ] || [ "$name" = sh ]; }
}

stop() {
    kill -s "$1" "$pid" 2>/dev/null
    tries=$2
    while running && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1 2>/dev/null || sleep 1
    done
}

running && stop INT 200
running && stop QUIT 50
running && stop KILL 50

for directory; do
    tries=20
    while [ -e "$directory" ] && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        rm -rf -- "$directory" || sleep 0.1 2>/dev/null || sleep 1
    done
done
