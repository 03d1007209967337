//! The release before works on the tables of the one that comes.

use mesh_testkit::workspace;
use meshctl::{migrations, services};

#[test]
fn the_last_release_survives_every_migration_that_it_does_not_have() {
    let all = migrations::of_checkout(&workspace()).unwrap();
    let releases = migrations::published(&workspace(), &all).unwrap();

    let report = migrations::lint(&all, &releases);

    let told: Vec<_> = report
        .findings
        .iter()
        .map(|it| format!("{}: {}; {}", it.place, it.what, it.instead))
        .collect();
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
    assert!(report.release.is_some() && report.unpublished < report.migrations);
    // Those of every service that keeps something.
    let stores = services::declarations().unwrap();
    let stores = stores.iter().filter(|declared| declared.store.is_some());
    for declared in stores {
        assert!(all.iter().any(|it| it.service == declared.service), "{}", declared.service);
    }
}
