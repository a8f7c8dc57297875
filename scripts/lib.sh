# shellcheck shell=bash
# What every script shares: where things are, how a line is printed, how compose is called. Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="$ROOT/.build"
cd "$ROOT"
# Node 24 comes from the npm package, so the host's own Node does not matter.
# shellcheck disable=SC2034 # used by bootstrap
HOST_PATH=$PATH
export PATH="$ROOT/node_modules/.bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'; else BOLD='' RED='' PLAIN=''; fi
readonly BOLD RED PLAIN

# say STEP TEXT…: one line of progress.
say() {
  local step=$1
  shift
  printf '%s%-10s%s %s\n' "$BOLD" "$step" "$PLAIN" "$*"
}

# fail STEP WHAT [CAUSE] [NEXT]: says what failed, the likely cause and the command to go on with, and ends the script.
fail() {
  printf '%s%-10s %s%s\n' "$RED" "$1" "$2" "$PLAIN" >&2
  if [ -n "${3:-}" ]; then printf '%-10s likely cause: %s\n' '' "$3" >&2; fi
  if [ -n "${4:-}" ]; then printf '%-10s next: %s\n' '' "$4" >&2; fi
  exit 1
}

# indent: shows another program's output under a step.
indent() { sed 's/^/           | /'; }

# wait_until SECONDS COMMAND…: polls a condition twice a second, for a bounded time.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then return 1; fi
    sleep 0.5
  done
}

# load_env: .env (or the example, before there is one) into the environment; what is set there already wins, as in compose.
load_env() {
  local file line key value
  file=$(env_file)
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
    key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    value=${value%%[[:space:]]#*}
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    if [ -z "${!key+x}" ]; then export "$key=$value"; fi
  done <"$file"
  export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-meerkat}
  SECRETS=${SECRETS_DIR:-.secrets}
  if [[ $SECRETS != /* ]]; then SECRETS="$ROOT/$SECRETS"; fi
}

env_file() { if [ -f "$ROOT/.env" ]; then echo "$ROOT/.env"; else echo "$ROOT/.env.example"; fi; }

# set_env KEY VALUE: changes one line of .env, or adds it.
set_env() {
  local file="$ROOT/.env" next="$ROOT/.env.next"
  KEY=$1 VALUE=$2 awk '
    index($0, ENVIRON["KEY"] "=") == 1 { if (!done++) print ENVIRON["KEY"] "=" ENVIRON["VALUE"]; next }
    { print }
    END { if (!done) print ENVIRON["KEY"] "=" ENVIRON["VALUE"] }' "$file" >"$next"
  mv "$next" "$file"
}

# dc …: the one way compose is called.
dc() {
  docker compose --project-directory "$ROOT" --env-file "$(env_file)" \
    -f "$ROOT/compose/compose.yaml" -f "$ROOT/compose/monitoring.yaml" "$@"
}

# engine_up: true when a Docker engine answers.
engine_up() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# project_containers [FILTER…]: ids of this project's containers, one-off runs left out.
project_containers() {
  local filters=() f
  for f in "$@"; do filters+=(--filter "$f"); done
  docker ps -aq --no-trunc --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter label=com.docker.compose.oneoff=False "${filters[@]}"
}

# is_debian: Debian or a child of it, such as Ubuntu.
is_debian() { [ -r /etc/os-release ] && grep -Eq '^(ID|ID_LIKE)=.*debian' /etc/os-release && command -v apt-get >/dev/null; }

# may_install: root on Debian, and not forbidden by BOOTSTRAP=0.
may_install() { [ "${BOOTSTRAP:-1}" != 0 ] && [ "$(id -u)" = 0 ] && is_debian; }

# apt_install STEP PACKAGE…: refreshes the lists at most once a run, and keeps apt's chatter for the case that it fails.
apt_install() {
  local step=$1 log
  shift
  mkdir -p "$BUILD/log"
  log="$BUILD/log/apt.log"
  say "$step" "installing $* …"
  if [ -z "${APT_REFRESHED:-}" ]; then
    apt-get -qq update >"$log" 2>&1 || true
    export APT_REFRESHED=1
  fi
  if ! DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" </dev/null >>"$log" 2>&1; then
    tail -n 15 "$log" | indent >&2
    fail "$step" "apt-get could not install: $*" "no network, or the package lists are out of date" "apt-get update && apt-get install $*"
  fi
}

# debian_mirror: the archive this machine itself installs from (Debian only), or DEBIAN_MIRROR.
debian_mirror() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then
    echo "$DEBIAN_MIRROR"
    return
  fi
  cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -Ev '^[[:space:]]*#' | grep -Eo 'https?://[^[:space:]]+/debian/?([[:space:]]|$)' | head -n 1 | tr -d '[:space:]' || true
}

# elapsed: seconds since the script began, for its last line.
elapsed() { echo "$SECONDS s"; }

# use_profiles: the profiles of .env, less grafana where its image can be had neither here nor from a registry. A failed
# pull is remembered for a day, so that only the first start waits for it. Only with the word "pull" is a pull tried, and said.
use_profiles() {
  local image=${GRAFANA_IMAGE:-grafana/grafana:11.6.0} memory="$BUILD/grafana-not-found" recent
  case ",${COMPOSE_PROFILES:-}," in *,grafana,*) ;; *) return 0 ;; esac
  if docker image inspect "$image" >/dev/null 2>&1; then return; fi
  recent=$(find "$memory" -mmin -1440 2>/dev/null || true)
  if [ -z "$recent" ] || [ "$(cat "$memory")" != "$image" ]; then
    if [ "${1:-}" != pull ]; then
      without_grafana
      return
    fi
    say grafana "pulling $image …"
    if timeout 15 docker pull -q "$image" >/dev/null 2>&1; then return; fi
    mkdir -p "$BUILD"
    echo "$image" >"$memory"
  fi
  if [ "${1:-}" = pull ]; then say grafana "skipped: $image is neither here nor to be pulled; all else runs without it (docker load it, or set GRAFANA_IMAGE)"; fi
  without_grafana
}

without_grafana() {
  COMPOSE_PROFILES=$(tr ',' '\n' <<<"$COMPOSE_PROFILES" | grep -vx grafana | paste -sd, || true)
  export COMPOSE_PROFILES
}

# states: a line "service name verdict detail" for each container of the project; verdicts are ready, waiting and broken.
states() {
  local ids
  ids=$(project_containers)
  if [ -z "$ids" ]; then return; fi
  # shellcheck disable=SC2086 # one id a word
  docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}} {{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}} {{.RestartCount}}' $ids 2>/dev/null | awk '
    { sub("^/", "", $2); verdict = "waiting"
      if ($3 == "running" && ($4 == "healthy" || $4 == "none")) verdict = "ready"
      else if ($3 == "exited" && $5 == 0 && ($6 == "no" || $6 == "" || $6 ~ /on-failure/)) verdict = "ready"
      else if ($3 == "exited" && $6 == "no") verdict = "broken"
      else if ($4 == "unhealthy" || $7 >= 5) verdict = "broken"
      print $1, $2, verdict, $3, $4 }' | sort
}

# export_test_env: what a client on this machine needs to reach the datacenter: address, ports, CA, where the passwords are.
export_test_env() {
  export COMPOSE_PROJECT_NAME BIND_ADDRESS=${BIND_ADDRESS:-127.0.0.1} MEERKAT_NODES=${MEERKAT_NODES:-2}
  export C2S_PORT=${C2S_PORT:-5222} C2S_TLS_PORT=${C2S_TLS_PORT:-5223} HTTPS_PORT=${HTTPS_PORT:-443} OPS_PORT=${OPS_PORT:-8443}
  export TURN_PORT=${TURN_PORT:-3478} TURN_TLS_PORT=${TURN_TLS_PORT:-5349}
  export CA_FILE="$SECRETS/tls/ca.pem" NODE_EXTRA_CA_CERTS="$SECRETS/tls/ca.pem" SECRETS_DIR="$SECRETS"
  export DEMO_ALICE_PASSWORD_FILE="$SECRETS/demo_alice_password" DEMO_BOB_PASSWORD_FILE="$SECRETS/demo_bob_password"
  export TESTCONTAINERS_RYUK_DISABLED=true
}
