#!/usr/bin/env bash
# Walks an image of a service from none of a hundred calls to all of them, by commits to an overlay
# that the cluster follows; and takes it back by another commit as soon as it is worse than what runs. It is
# sent no call before its processes are up, and none of them goes away before calls go elsewhere.
#
#   .github/walk.sh orders ghcr.io/me/orders@sha256:…
#
# PROMETHEUS says where the cluster's metrics are asked for, TOKEN what is shown there, if anything.
# PAUSE is how long each share is looked at, in seconds; the cluster has to have followed by then. PATIENCE is
# how long the candidate may take to be up, GLANCE how often that is asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly service="$1" image="$2"
readonly pause="${PAUSE:-600}" patience="${PATIENCE:-1200}" glance="${GLANCE:-15}"
readonly overlay="${OVERLAY:-production}" branch="${BRANCH:-main}"
: "${PROMETHEUS:?says where the metrics of the cluster are asked for}"
read -ra mesh <<<"${MESH:-cargo run --quiet --locked --package meshctl --bin meshctl --}"
# What is no caller's fault.
readonly faults='UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS'
# The gateway answers HTTP, everybody else gRPC.
if [[ "$service" == gateway ]]; then
    readonly metric=http_server_request_duration_seconds bad='http_response_status_code=~"5.."'
else
    readonly metric=rpc_server_call_duration_seconds bad="rpc_response_status_code=~\"$faults\""
fi
readonly tried="pod=~\"$service-candidate-.+\"" runs="pod=~\"$service-.+\",pod!~\"$service-candidate-.+\""

# A step, committed; others may have committed meanwhile.
step() {
    local message="$1"
    shift
    "${mesh[@]}" deliver "$service" --overlay "$overlay" "$@"
    git add --all "k8s/overlays/$overlay"
    git commit --quiet --message "$message"
    for _ in 1 2 3 4 5; do
        if git push --quiet origin "HEAD:$branch"; then return; fi
        git pull --quiet --rebase origin "$branch"
    done
    printf 'the commit cannot be pushed to %s: may this job write there?\n' "$branch" >&2
    return 1
}

# Whether a query finds anything; ends the judgement if it cannot be asked.
finds() {
    local header=() answer
    if [[ -n "${TOKEN:-}" ]]; then header=(--header "authorization: Bearer $TOKEN"); fi
    answer="$(curl --silent --show-error --fail --max-time 30 --retry 3 "${header[@]}" --get \
        --data-urlencode "query=$1" "$PROMETHEUS/api/v1/query")" || exit 3
    [[ "$(jq '.data.result | length' <<<"$answer")" -gt 0 ]]
}

# Whether a process of the candidate answers Prometheus now.
is_up() {
    finds "count(up{$tried} == 1) > 0"
}

# What is wrong with the candidate, in words; nothing if it is as good as what runs.
verdict() {
    local window="[${pause}s]"
    calls() { printf 'sum(increase(%s_count{%s}%s))' "$metric" "$1" "$window"; }
    # Of what is not called at all, no share fails.
    share() { printf '(%s or vector(0)) / (%s > 0)' "$(calls "$1,$bad")" "$(calls "$1")"; }
    late() {
        printf 'histogram_quantile(0.99, sum by (le) (rate(%s_bucket{%s}%s)))' "$metric" "$1" "$window"
    }
    # Whoever ends whenever it is asked has counted no call, and so none that failed.
    if ! is_up || ! finds "avg(avg_over_time(up{$tried}$window)) >= 0.9"; then
        printf 'its processes do not stay up'
    elif (($1 == 0)); then
        # There are no calls to judge it by.
        return
    # It may have been asked nothing of a hundredth of a few calls.
    elif (($1 >= 25)) && ! finds "$(calls "$tried") >= 1"; then
        printf 'nobody has seen it answer a call'
    elif finds "$(share "$tried") > ($(share "$runs") or vector(0)) + 0.01"; then
        printf 'more of its calls fail'
    elif finds "$(late "$tried") > 1.5 * ($(late "$runs") >= 0) + 0.01"; then
        printf 'its slowest calls take longer'
    fi
}

# Takes the candidate back from so many of a hundred calls, and says why: first its calls, then itself.
withdraw() {
    if (($1 > 0)); then
        step "Send no call to the candidate of $service any more: $2" --image "$image" --weight 0
        sleep "$glance"
    fi
    step "Withdraw the candidate of $service: $2" --withdraw
    printf '%s of %s is withdrawn at %s of 100 calls: %s\n' "$image" "$service" "$1" "$2" >&2
    exit 1
}

# Waits until the candidate is up.
until_up() {
    local begun=$SECONDS code
    while :; do
        code=0
        (is_up) || code=$?
        case $code in
        0) return ;;
        1) if ((SECONDS - begun >= patience)); then withdraw 0 "it does not come up"; fi ;;
        *) withdraw 0 "its metrics cannot be asked for" ;;
        esac
        sleep "$glance"
    done
}

# What comes after a step: time, and a look. Withdraws the candidate if it is worse.
look() {
    local wrong
    sleep "$pause"
    wrong="$(verdict "$1")" || wrong="its metrics cannot be asked for"
    if [[ -n "$wrong" ]]; then withdraw "$1" "$wrong"; fi
}

step "Start the candidate of $service" --image "$image" --weight 0
until_up
look 0
for weight in 1 5 25 50 100; do
    step "Send $weight of 100 calls to the candidate of $service" --image "$image" --weight "$weight"
    look "$weight"
done
step "Run the candidate of $service everywhere" --promote
# While what ran is replaced, all calls go to the candidate.
sleep "$pause"
step "Send all calls to $service as before" --image "$image" --weight 0
# Its processes answer until no sidecar knows the way to them.
sleep "$pause"
step "Try nothing of $service any more" --withdraw
printf '%s of %s runs\n' "$image" "$service"
