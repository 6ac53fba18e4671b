//! What an edge means for whoever holds one of its ends.

use chancery_model::{EdgeKind, NodeKind};

/// Which way something passes along an edge `from` KIND `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Whoever has `from` has `to`.
    With,
    /// Whoever has `to` has `from`.
    Against,
    /// Both.
    Both,
    /// Neither.
    None,
}

/// How much is had of what an edge leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// All: one can act as it.
    Control,
    /// Its use: one can make it do something, or read it.
    Use,
    /// Nothing.
    Nothing,
}

/// How rights pass along an edge of this kind. These are the hops of every path.
#[must_use]
pub const fn flow(kind: EdgeKind) -> Flow {
    use EdgeKind as E;
    match kind {
        E::AuthenticatesAs
        | E::UsesCredential
        | E::RunsAs
        | E::CanAssume
        | E::FederatesTo
        | E::MemberOf
        | E::HasRole
        | E::CanEscalateTo
        | E::CanAddCredentialTo
        | E::CanAccess
        | E::Invokes
        | E::UsesTool
        | E::UsesMemory => Flow::With,
        // The place gives the secret away; the one who was let act has the rights of the one who let them.
        E::StoredIn | E::FoundIn | E::DelegatesTo => Flow::Against,
        E::SameAs => Flow::Both,
        E::Grants
        | E::ExposesTool
        | E::UsesModel
        | E::Performs
        | E::PartOf
        | E::OwnedBy
        | E::SponsoredBy
        | E::CreatedBy
        | E::ConsentedBy
        | E::ConsumedBy
        | E::DependsOn
        | E::ObservedUsing
        | E::SucceededBy => Flow::None,
    }
}

/// How much a hop over this kind gives of what it leads to.
#[must_use]
pub const fn gives(kind: EdgeKind) -> Gives {
    use EdgeKind as E;
    match (flow(kind), kind) {
        (Flow::None, _) => Gives::Nothing,
        (_, E::CanAccess | E::Invokes | E::UsesTool | E::UsesMemory) => Gives::Use,
        _ => Gives::Control,
    }
}

/// Which end does not work without the other: [`Flow::With`] means that `from` needs `to`.
///
/// An identity that two credentials log in as lives on when one is revoked, so it does not need them; what was given
/// the credential does.
#[must_use]
pub const fn needs(kind: EdgeKind) -> Flow {
    use EdgeKind as E;
    match kind {
        E::AuthenticatesAs
        | E::UsesCredential
        | E::RunsAs
        | E::Invokes
        | E::UsesTool
        | E::UsesMemory
        | E::UsesModel
        | E::DependsOn
        | E::ObservedUsing => Flow::With,
        E::ConsumedBy | E::ExposesTool | E::DelegatesTo | E::PartOf => Flow::Against,
        E::SameAs => Flow::Both,
        E::CanAssume
        | E::FederatesTo
        | E::MemberOf
        | E::HasRole
        | E::CanEscalateTo
        | E::CanAddCredentialTo
        | E::CanAccess
        | E::StoredIn
        | E::FoundIn
        | E::Grants
        | E::Performs
        | E::OwnedBy
        | E::SponsoredBy
        | E::CreatedBy
        | E::ConsentedBy
        | E::SucceededBy => Flow::None,
    }
}

/// A set of edge kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u64);

impl Kinds {
    const fn with(self, kind: EdgeKind) -> Self {
        Self(self.0 | 1 << kind.number())
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of these kinds, rising.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u8> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let number = u8::try_from(left.trailing_zeros()).ok().filter(|number| *number < 64)?;
            left &= left - 1;
            Some(number)
        })
    }
}

const _: () = assert!(EdgeKind::ALL.len() <= 64, "a set of kinds is 64 bits");

/// Which edges a walk takes from a node: those that leave it, and those that come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) out: Kinds,
    pub(crate) into: Kinds,
}

impl Takes {
    const fn or(self, other: Self) -> Self {
        Self { out: self.out.or(other.out), into: self.into.or(other.into) }
    }

    const fn back(self) -> Self {
        Self { out: self.into, into: self.out }
    }

    const fn adding(mut self, kind: EdgeKind, flow: Flow) -> Self {
        if matches!(flow, Flow::With | Flow::Both) {
            self.out = self.out.with(kind);
        }
        if matches!(flow, Flow::Against | Flow::Both) {
            self.into = self.into.with(kind);
        }
        self
    }
}

const NOTHING: Takes = Takes { out: Kinds(0), into: Kinds(0) };

const fn giving(what: Gives) -> Takes {
    let (mut takes, mut at) = (NOTHING, 0);
    while at < EdgeKind::ALL.len() {
        let kind = EdgeKind::ALL[at];
        if gives(kind) as u8 == what as u8 {
            takes = takes.adding(kind, flow(kind));
        }
        at += 1;
    }
    takes
}

const fn needed() -> Takes {
    let (mut takes, mut at) = (NOTHING, 0);
    while at < EdgeKind::ALL.len() {
        takes = takes.adding(EdgeKind::ALL[at], needs(EdgeKind::ALL[at]));
        at += 1;
    }
    takes
}

const CONTROL: Takes = giving(Gives::Control);
/// Every hop of rights.
pub(crate) const RIGHTS: Takes = CONTROL.or(giving(Gives::Use));
/// Every hop of rights, from what is had to who has it.
pub(crate) const HOLDERS: Takes = RIGHTS.back();
const CONTROLLERS: Takes = CONTROL.back();
/// From what is needed to who needs it.
pub(crate) const DEPENDENTS: Takes = needed().back();

/// From somebody to who can act as them: only over control, but the use of a place is control over what is kept in it.
pub(crate) const fn controllers(of: NodeKind) -> Takes {
    if of.is_place() { HOLDERS } else { CONTROLLERS }
}
