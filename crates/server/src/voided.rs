//! Requests for approval of whoever is contained: nobody is asked any more, and a yes that was said does not count.
//!
//! The call that waits is cut by the gateway, and no call of theirs passes. This closes what people see.

use chancery_model::{Approval, Containment};
use chancery_oversee::approvals::ApprovalError;
use chancery_store::containments;

use crate::rooms::Rooms;

/// What waits for people, or was approved and not used, of whoever this containment covers.
pub(crate) async fn covered(rooms: &Rooms, containment: &Containment) -> Result<Vec<Approval>, ApprovalError> {
    let reach = rooms.authenticator.reach(containment);
    let mut open = rooms.approvals.open().await?;
    open.retain(|approval| {
        // One whose session is over is nobody's, whatever is contained.
        let lives = rooms.authenticator.knows_session(approval.session.as_str());
        let place = (approval.server.as_str(), Some(approval.target.as_str()));
        (lives && reach.session(&approval.session)) || reach.place(place.0, place.1)
    });
    Ok(open)
}

/// Closes them, and says how many.
pub(crate) async fn void(rooms: &Rooms, containment: &Containment) -> Result<usize, ApprovalError> {
    let mut closed = 0;
    for approval in covered(rooms, containment).await? {
        let why = format!("{containment} is contained ({}): {}", containment.id, containment.reason);
        match rooms.approvals.cancel(&approval.id, &why, &containment.by).await {
            Ok(_) => closed += 1,
            // Somebody decided it or used it in between, or another node was quicker.
            Err(ApprovalError::Changed | ApprovalError::Over(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(closed)
}

/// The same for everything that is in force: what triggers contain, and what others had contained at other nodes.
pub(crate) async fn void_all(rooms: &Rooms) -> Result<(), ApprovalError> {
    for containment in containments::standing(&rooms.store).await? {
        void(rooms, &containment).await?;
    }
    Ok(())
}
