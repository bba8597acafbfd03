//! Envelopes in the name of somebody else.

use broker_proto::codec::envelope::data_frame;

use super::*;

/// In a data envelope of WIRE §5.1, from an endpoint that is not the link's peer.
#[test]
fn a_forged_sender_is_dropped_counted_and_audited() {
    let mut rig = Rig::new(MEMBERS);
    let agent = rig.connect(Some("sensor-1"), &[]);
    let hello = AgentResponse::Hello {
        instance: "a".into(),
        id: rig.id(agent).to_string(),
        connecting: true,
        api_version: 1,
    };
    let payload = Event::from(hello).encode();
    let forged = EndpointId::from_bytes([0x77; 16]);
    let frame = data_frame(forged, &topic("a"), &payload);
    rig.bytes(LinkId::Accepted(0), frame);
    rig.settle();
    assert!(rig.instances().is_empty());
    assert_eq!(rig.process.gate().counters().events, 1);
    let audit = rig.audits.pop().unwrap();
    assert_eq!(audit.what, What::Message);
    let reason = format!("envelope claims to be from {forged}");
    assert_eq!(audit.reason, reason);
    let certificate = audit.who.certificate.unwrap();
    assert_eq!(certificate.name.as_deref(), Some("sensor-1"));
    assert_eq!(rig.audits, []);
}
