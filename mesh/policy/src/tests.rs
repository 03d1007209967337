//! The rules of [`Table::from_descriptors`](crate::Table::from_descriptors).

use super::*;

#[test]
fn every_operator_rpc_has_a_policy() {
    let table = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();

    assert!(table.methods().count() > 0);
    assert!(table.methods().all(|method| method.default_deadline <= method.max_deadline));
}

#[test]
fn a_set_may_occur_twice() {
    let once = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();
    let twice =
        Table::from_descriptors(&[mesh_proto::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();

    assert_eq!(once.methods().count(), twice.methods().count());
}

#[test]
fn an_unknown_method_has_none() {
    let table = Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap();

    assert_eq!(table.method("mesh.operator.v1.SagasService/Nothing"), None);
}

#[test]
fn garbage_is_refused() {
    assert!(matches!(Table::from_descriptors(&[b"\xff\xff"]), Err(Error::Set(_))));
}
