//! Images as engines write them, and as nobody should.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mesh_local::Home;
use mesh_testkit::image::{self, Added};
use serde_json::json;

use super::{Image, archive::inside};

/// A home, and a file beside it.
struct Lab {
    home: Home,
    archive: PathBuf,
}

impl Lab {
    fn new() -> Lab {
        let root = format!("canary-image-{}", uuid::Uuid::new_v4().simple());
        let home = Home::at(&std::env::temp_dir().join(root)).unwrap();
        let archive = home.path("it.tar");
        Lab { home, archive }
    }

    async fn program(&self) -> anyhow::Result<(Option<String>, PathBuf)> {
        let image = Image::find(self.archive.to_str().unwrap()).await?;
        let version = image.version().map(str::to_owned);
        Ok((version, image.program(&self.home, "orders").await?))
    }

    async fn content(&self) -> Vec<u8> {
        fs::read(self.program().await.unwrap().1).unwrap()
    }

    async fn refused(&self) -> String {
        format!("{:#}", self.program().await.unwrap_err())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.home.remove();
    }
}

/// The beginning of this test's own program, and words by which it is known.
fn program(words: &str) -> Vec<u8> {
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    [&own[..64], words.as_bytes()].concat()
}

fn made(layers: &[&[Added<'_>]]) -> image::Image {
    let begun = image::Image::running("/bin/service", "v7");
    layers.iter().fold(begun, |image, layer| image.with(layer).unwrap())
}

#[tokio::test]
async fn a_program_outlives_the_archive_that_it_came_in() {
    let (lab, own) = (Lab::new(), program("one"));
    let image = made(&[&[Added::File("etc/os", b"x")], &[Added::File("./bin/service", &own)]]);
    let zipped = image.clone().compressed().unwrap();
    type Write = fn(&image::Image, &std::path::Path) -> std::io::Result<()>;
    for (image, write) in [
        (&image, image::Image::write as Write),
        (&zipped, image::Image::write),
        (&image, image::Image::write_saved),
    ] {
        write(image, &lab.archive).unwrap();
        let (version, program) = lab.program().await.unwrap();
        fs::remove_file(&lab.archive).unwrap();

        assert_eq!(version.as_deref(), Some("v7"));
        assert!(program.starts_with(lab.home.path("images")) && program.ends_with("service"));
        assert_eq!(fs::read(&program).unwrap(), own);
        assert_eq!(program.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    // One image has one folder, with one file in it.
    let folders: Vec<_> = fs::read_dir(lab.home.path("images")).unwrap().flatten().collect();
    assert_eq!(folders.len(), 1);
    assert_eq!(fs::read_dir(folders[0].path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_layout_may_be_a_folder() {
    let (lab, own) = (Lab::new(), program("one"));
    made(&[&[Added::File("bin/service", &own)]]).write(&lab.archive).unwrap();
    let folder = lab.home.path("layout");
    tar::Archive::new(fs::File::open(&lab.archive).unwrap()).unpack(&folder).unwrap();

    let lab = Lab { archive: folder, home: lab.home.clone() };
    assert_eq!(lab.content().await, own);
    fs::remove_file(lab.archive.join("index.json")).unwrap();
    assert!(lab.refused().await.contains("no OCI image layout"));
}

#[tokio::test]
async fn upper_layers_replace_and_take_away_what_is_below() {
    let (lab, one, two) = (Lab::new(), program("one"), program("two"));
    let first = [Added::File("bin/service", &one), Added::File("opt/it", &two)];
    for (upper, expected) in [
        (vec![Added::File("bin/service", &two)], Some(&two)),
        (vec![Added::File("bin/.wh.other", b"")], Some(&one)),
        (vec![Added::File("bin/.wh.service", b"")], None),
        (vec![Added::File(".wh.bin", b"")], None),
        (vec![Added::File("bin/.wh..wh..opq", b"")], None),
        // What a layer takes away is below it, and not its own.
        (vec![Added::File("bin/service", &two), Added::File("bin/.wh..wh..opq", b"")], Some(&two)),
        (vec![Added::Link("bin/service", "../opt/it")], Some(&two)),
        (vec![Added::Link("bin/service", "/opt/../../opt/it")], Some(&two)),
        (vec![Added::Hard("bin/service", "opt/it")], Some(&two)),
        (vec![Added::Link("bin/service", "service")], None),
        // A folder that has become a link, as /bin has in Debian.
        (vec![Added::File("usr/bin/service", &two), Added::Link("bin", "usr/bin")], Some(&two)),
        (vec![Added::Link("bin", "usr/bin")], None),
    ] {
        made(&[&first, &upper]).write(&lab.archive).unwrap();
        match expected {
            Some(expected) => assert_eq!(&lab.content().await, expected, "{upper:?}"),
            None => {
                let said = lab.refused().await;
                assert!(said.contains("/bin/service is in none of its 2 layers"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_written_outside_and_nothing_from_elsewhere_is_run() {
    let (lab, own) = (Lab::new(), program("one"));
    for (added, why) in [
        (Added::File("../../service", &own[..]), "`../../service`, which leads out of it"),
        (Added::File("bin/../../service", &own), "which leads out of it"),
        (Added::Hard("bin/service", "../../etc/passwd"), "which leads out of it"),
        (Added::Link("bin/service", "../../../etc/passwd"), "is in none of its 1 layers"),
        (Added::File("bin/service", b"#!/bin/sh\n"), "entrypoint /bin/service: it is no ELF"),
    ] {
        made(&[&[added]]).write(&lab.archive).unwrap();
        let said = lab.refused().await;
        assert!(said.contains(why), "{said}");
    }
    let image = made(&[&[Added::File("bin/service", &own)]]);
    for (bytes, why) in [
        (&b"\x28\xb5\x2f\xfd"[..], "compressed by zstd, which is not read here"),
        (&[0; 1024], "it is damaged"),
        (b"\x1f\x8bxxxxxxxxxxxxxxxx", "its layer blobs/sha256/"),
    ] {
        image.clone().damaged(bytes).write(&lab.archive).unwrap();
        let said = lab.refused().await;
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(inside("/./a//b").unwrap(), "a/b");
    assert!(inside("a/..").is_err());
}

#[tokio::test]
async fn an_image_says_what_it_runs_and_where() {
    let (lab, own) = (Lab::new(), program("one"));
    let image = made(&[&[Added::File("bin/service", &own)]]);
    for (at, value, why) in [
        ("/config/Entrypoint", json!(null), "no entrypoint: ENTRYPOINT [\"/program\"]"),
        ("/config/Entrypoint", json!(["/bin/sh", "-c", "x"]), "is `/bin/sh -c x`, and a service"),
        ("/config/Entrypoint", json!(["service"]), "`service` is no absolute path"),
        ("/architecture", json!("s390x"), "it is made for linux/s390x, and this machine is"),
        ("/os", json!("windows"), "it is made for windows/"),
    ] {
        let mut image = image.clone();
        *image.config.pointer_mut(at).unwrap() = value;
        for write in [image::Image::write, image::Image::write_saved] {
            write(&image, &lab.archive).unwrap();
            let said = lab.refused().await;
            assert!(said.starts_with("--image /") && said.contains(why), "{said}");
        }
    }
    let mut other = made(&[]);
    other.config["architecture"] = json!("s390x");
    image::Image::write_all(&lab.archive, &[other, image.clone()]).unwrap();
    assert_eq!(lab.content().await, own, "the one for this machine");
    let another = made(&[&[Added::File("bin/service", &program("two"))]]);
    image::Image::write_all(&lab.archive, &[another, image]).unwrap();
    assert!(lab.refused().await.contains("it holds 2 images"));
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let lab = Lab::new();
    assert!(lab.refused().await.contains("there is no /"));
    for (bytes, why) in [
        (&b"\x1f\x8b\x08"[..], "is compressed: `gunzip /"),
        (&[7; 2000], "is no tar"),
        (&[0; 1024], "neither index.json nor manifest.json: it is no image"),
    ] {
        fs::write(&lab.archive, bytes).unwrap();
        let said = lab.refused().await;
        assert!(said.contains(why), "{said}");
    }
    let said = format!("{:#}", Image::find("shopmesh/no-such:v1").await.unwrap_err());
    assert!(said.starts_with("--image shopmesh/no-such:v1: there is no such file, and"), "{said}");
}

#[test]
fn a_version_is_called_by_a_tag() {
    for (name, tag) in [
        ("orders", None),
        ("localhost:5000/orders", None),
        ("localhost:5000/orders:v2", Some("v2")),
        ("orders:1.2@sha256:abc", Some("1.2")),
        ("orders@sha256:abc", None),
    ] {
        assert_eq!(super::manifest::tag(name), tag, "{name}");
    }
}
