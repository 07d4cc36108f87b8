//! As much of a host's record as can be guessed at that cannot be read.
//! Does not say what follows from it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::HostRecord;

/// As much of a host's record as can be guessed at that cannot be read. It has all the room there is,
/// since nobody can say that what is on it does not fit.
pub(in crate::fleet) fn outline(bytes: &[u8]) -> HostRecord {
    const ROOM: u64 = 1 << 40;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let fields: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text =
        |name: &str| fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let labels = fields.get("labels").cloned().unwrap_or_default();
    HostRecord {
        id: text("id").to_owned(),
        run: 0,
        address: nowhere,
        listen: nowhere,
        admin: nowhere,
        zone: text("zone").to_owned(),
        labels: serde_json::from_value(labels).unwrap_or_default(),
        cpu_m: ROOM,
        memory: ROOM << 10,
        version: text("version").to_owned(),
        certificate: None,
        believes: BTreeSet::new(),
        tells_use: false,
        signs: false,
    }
}
