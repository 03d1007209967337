//! An image is built, where there is an engine, and runs.

use std::process::{Command, Stdio};

use mesh_testkit::{skipped, workspace};

const TAG: &str = "shopmesh/shipping:tried";
/// More words for the engine's `build`, with spaces between them: how a machine that reaches no registry
/// says where the images lie that ours are made of, such as `--build-context NAME=container-image://OTHER`.
const MORE: &str = "IMAGE_BUILD_ARGS";

#[test]
fn the_smallest_image_builds_and_says_how_it_is() {
    let engine = ["docker", "podman"].into_iter().find(|engine| {
        let mut ask = Command::new(engine);
        let asked = ask.arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    });
    let Some(engine) = engine else {
        let way_out = "image unbuilt: no engine; install Docker or Podman, and start it";
        return skipped("a container engine", way_out);
    };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(engine);
        let output = command.args(arguments).current_dir(workspace()).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let more = std::env::var(MORE).unwrap_or_default();
    let more: Vec<&str> = more.split_whitespace().collect();
    let build = ["build", "--target", "service", "--build-arg", "SERVICE=shipping", "--tag", TAG];
    let (code, _, said) = run(&[&build[..], &more, &["."]].concat());
    assert_eq!(code, Some(0), "{said}");

    let format = "{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}}";
    let (_, configured, said) = run(&["image", "inspect", "--format", format, TAG]);
    assert_eq!(configured.trim(), "65532:65532 [/service] []", "{said}");

    // It may do no more than compose lets it. It is nobody, and nothing answers there.
    let strict = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    let health = ["--env", "LISTEN_ADDR=0.0.0.0:7000", TAG, "health"];
    let (code, _, said) = run(&[&["run", "--rm"], &strict[..], &health].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("shipping: readiness at 127.0.0.1:7000"), "{said}");
}
