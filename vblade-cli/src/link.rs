//! The link that was chosen when the program was started.

pub(crate) use aoe_link::NetLink;

use crate::cli::LinkKind;

impl From<LinkKind> for aoe_link::LinkKind {
    fn from(kind: LinkKind) -> Self {
        match kind {
            LinkKind::Auto => Self::Auto,
            LinkKind::Xdp => Self::Xdp,
            LinkKind::Packet => Self::Packet,
            LinkKind::Pnet => Self::Pnet,
        }
    }
}
