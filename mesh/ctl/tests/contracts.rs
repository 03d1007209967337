//! `contracts`: whom a change would break.

use std::path::PathBuf;

use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use serde_json::Value;

use crate::shop::Shop;

#[test]
fn contracts_as_they_stand_break_nobody() {
    let shop = Shop::bare("contracts-whole");

    let output = shop.run(&["contracts"]);

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("consumers rely on") && said.contains("all are there"), "{said}");
}

#[test]
fn a_change_that_breaks_somebody_is_named_and_exits_1() {
    let shop = Shop::bare("contracts-changed");
    let file = without_captured();

    let output = shop.run(&["contracts", "--against", file.to_str().unwrap(), "--json"]);

    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let consumers = findings.iter().map(|finding| finding["consumer"].as_str().unwrap());
    assert!(consumers.clone().count() > 0 && consumers.clone().all(|it| it == "payments"));
    assert_eq!(report["reasons_compared"], false);

    let output = shop.run(&["contracts", "--against", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("payments  relies on  processor"), "{said}");
    assert!(
        said.contains("charge.captured is gone") && said.contains("without comments"),
        "{said}"
    );
    std::fs::remove_file(file).unwrap();

    let output = shop.run(&["contracts", "--against", "no-such-file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read no-such-file"));
}

/// The contracts without comments, and without a field that payments reads.
fn without_captured() -> PathBuf {
    let mut set = FileDescriptorSet::decode(shop::DESCRIPTORS).unwrap();
    for file in &mut set.file {
        file.source_code_info = None;
        if file.package() == "shop.processor.v1" {
            let charge = file.message_type.iter_mut().find(|message| message.name() == "Charge");
            if let Some(charge) = charge {
                charge.field.retain(|field| field.name() != "captured");
            }
        }
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("without-captured.binpb");
    std::fs::write(&file, set.encode_to_vec()).unwrap();
    file
}
