//! An image is built, where there is an engine, and runs.

use std::process::{Command, Stdio};

use mesh_testkit::{skipped, workspace};

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
    let tag = "shopmesh/shipping:tried";
    let run = |arguments: &[&str]| {
        let mut command = Command::new(engine);
        let output = command.args(arguments).current_dir(workspace()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let build =
        ["build", "--target", "service", "--build-arg", "SERVICE=shipping", "--tag", tag, "."];
    let (code, said) = run(&build);
    assert_eq!(code, Some(0), "{said}");

    // It is nobody, and nothing answers there.
    let (code, said) = run(&["run", "--rm", "--env", "LISTEN_ADDR=0.0.0.0:7000", tag, "health"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("shipping: readiness at 127.0.0.1:7000"), "{said}");
}
