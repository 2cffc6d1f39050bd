//! What becomes of an object, by the state of its owners. Pure.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The owner waits until its dependents have gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The owner goes, and its dependents stay.
pub const ORPHAN: &str = "orphan";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    Solid,
    /// It is being deleted in the foreground, and waits for its dependents.
    Waiting,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizing {
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Keep,
    /// It stays for these owners, and forgets the others.
    KeepOwners(Vec<OwnerReference>),
    /// By this propagation policy.
    Delete(&'static str),
}

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|one| one == finalizer)
}

/// What an object that is being deleted waits for the garbage collector to do.
pub fn finalizing(meta: &ObjectMeta) -> Option<Finalizing> {
    meta.deletion_timestamp.as_ref()?;
    if has(meta, ORPHAN) {
        return Some(Finalizing::Orphan);
    }
    has(meta, FOREGROUND).then_some(Finalizing::Foreground)
}

/// The state of an owner that is there.
pub fn owner_state(meta: &ObjectMeta) -> OwnerState {
    if finalizing(meta) == Some(Finalizing::Foreground) { OwnerState::Waiting } else { OwnerState::Solid }
}

pub fn plan(meta: &ObjectMeta, owners: &[(OwnerReference, OwnerState)], has_dependents: bool) -> Action {
    if owners.is_empty() {
        return Action::Keep;
    }
    let solid: Vec<_> = owners.iter().filter(|(_, state)| *state == OwnerState::Solid).collect();
    if solid.len() == owners.len() {
        return Action::Keep;
    }
    if !solid.is_empty() {
        return Action::KeepOwners(solid.into_iter().map(|(owner, _)| owner.clone()).collect());
    }
    // Foreground deletion goes all the way down.
    let waiting = owners.iter().any(|(_, state)| *state == OwnerState::Waiting);
    Action::Delete(if (waiting && has_dependents) || has(meta, FOREGROUND) {
        "Foreground"
    } else if has(meta, ORPHAN) {
        "Orphan"
    } else {
        "Background"
    })
}

#[cfg(test)]
mod tests {
    use super::{OwnerState::*, *};

    #[test]
    fn table() {
        let owner = |uid: &str| OwnerReference { uid: uid.to_owned(), ..Default::default() };
        let meta = |finalizer: Option<&str>| ObjectMeta {
            finalizers: finalizer.map(|one| vec![one.to_owned()]),
            ..Default::default()
        };
        let cases: [(&[OwnerState], bool, Option<&str>, Action); 10] = [
            (&[], false, None, Action::Keep),
            (&[Solid], false, None, Action::Keep),
            (&[Solid, Absent], false, None, Action::KeepOwners(vec![owner("0")])),
            (&[Solid, Waiting], false, None, Action::KeepOwners(vec![owner("0")])),
            (&[Absent], false, None, Action::Delete("Background")),
            (&[Absent, Absent], true, None, Action::Delete("Background")),
            (&[Waiting], false, None, Action::Delete("Background")),
            (&[Waiting], true, None, Action::Delete("Foreground")),
            (&[Absent], false, Some(ORPHAN), Action::Delete("Orphan")),
            (&[Absent], false, Some(FOREGROUND), Action::Delete("Foreground")),
        ];
        for (states, has_dependents, finalizer, expected) in cases {
            let owners: Vec<_> = states.iter().enumerate().map(|(n, state)| (owner(&n.to_string()), *state)).collect();
            assert_eq!(plan(&meta(finalizer), &owners, has_dependents), expected, "{states:?} {finalizer:?}");
        }
    }
}
