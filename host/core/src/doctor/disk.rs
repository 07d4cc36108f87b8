//! Whether there is room on the disk, and within the bound for components.
//! Does not look at the disk.

use super::finding::{Condition, Finding, Trouble, bad, ok, rounded, warn};
use crate::disk;
use crate::units::Bytes;

/// Free space below which deploys will soon fail.
const LITTLE_DISK: Bytes = Bytes::mebi(1 << 10);
/// Free space below which they fail now.
const NO_DISK: Bytes = Bytes::mebi(64);

/// Judges the free space where deployments are kept; `None` where it cannot be told.
pub(super) fn free(free: Option<Bytes>) -> Finding {
    let subject = "free disk of the data folder";
    let Some(free) = free else { return ok(subject, "unknown") };
    if free >= LITTLE_DISK {
        return ok(subject, rounded(free));
    }
    let verdict = if free < NO_DISK { Condition::Fail } else { Condition::Warn };
    bad(
        verdict,
        subject,
        rounded(free),
        Trouble {
            why: "components, their compiled code and the store need room; deploys fail without"
                .to_owned(),
            change: "free space there, or set data to a folder on a larger disk".to_owned(),
            trade: "an app takes its component and three times as much for compiled code"
                .to_owned(),
        },
    )
}

/// Examines what components take, of the most that they and their compiled code may; `None` for no bound.
pub(super) fn components(taken: Option<(Bytes, Bytes)>) -> Finding {
    let subject = "components in the data folder";
    let Some((used, bound)) = taken else { return ok(subject, "no bound") };
    let found = format!("{} of {}", used.about(), bound.about());
    if !disk::is_near(used, bound, false) {
        return ok(subject, found);
    }
    let more = rounded(Bytes::new(bound.get().saturating_mul(2)));
    let trouble = Trouble {
        why: "little room is left for compiled code, so first calls compile again; and uploads are refused at \
              the bound, unless two other hosts keep components that can go"
            .to_owned(),
        change: format!("[disk] components = \"{more}\", or remove apps that are not needed"),
        trade: "as much of the disk, once components and compiled code take it".to_owned(),
    };
    warn(subject, found, trouble)
}
