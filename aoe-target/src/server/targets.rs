//! The targets of a server, which come and go.

use std::io;

use aoe_wire::Address;
use bdev::{DeviceInfo, IoQueue};

use super::{LinkId, Server, book};
use crate::change::{EditState, Edited, SaveState};
use crate::export::{Export, OpenDisk};
use crate::slots::Name;
use crate::{Link, Target, TargetOptions};

/// Names a target of a server, and never another that has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetId(Name);

/// Why a target is not served as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// Two targets at one address on one link would be two disks mixed up by every initiator.
    #[error("{0} is already served on this link")]
    AddressInUse(Address),
    /// The address is a wildcard.
    #[error("{0} is a wildcard, which no target can own")]
    Wildcard(Address),
    /// The target was removed.
    #[error("this target was removed")]
    Removed,
}

impl<L: Link> Server<L> {
    /// Serves `target` on `links`, its sectors through `queue`, and advertises it on those that are up. `save` stores its state when
    /// initiators change it. Links that were removed are passed over.
    ///
    /// A disk that another target serves, or one that was [removed](Self::remove_target) and is [still here](Self::has_target), must
    /// not be added: nothing would keep the order between the two.
    ///
    /// # Errors
    ///
    /// When the address is a wildcard, or served already on one of the links.
    pub fn add_target(
        &mut self,
        target: Target,
        queue: Box<dyn IoQueue<L::Frame>>,
        save: SaveState,
        links: &[LinkId],
    ) -> Result<TargetId, AddError> {
        let address = target.address();
        if address.is_wildcard() {
            return Err(AddError::Wildcard(address));
        }
        self.check_free(address, links, None)?;
        let number = self.exports.insert(Export::new(target, queue, save));
        self.serve(number, links);
        Ok(self.id(number))
    }

    /// Takes no more frames for a target. Its address is free at once; what was taken is answered, then the target, its queue and
    /// its way to store state are dropped, in a turn to come. [`has_target`](Self::has_target) tells.
    pub fn remove_target(&mut self, id: TargetId) {
        let Some(number) = self.number(id) else { return };
        self.serve(number, &[]);
        if let Some(export) = self.exports.get_mut(number) {
            export.leaving = true;
            if !export.busy {
                self.exports.remove(number);
            }
        }
    }

    /// Whether a target is here, be it that it only ends what it has begun.
    #[must_use]
    pub fn has_target(&self, id: TargetId) -> bool {
        self.exports.find(id.0).is_some()
    }

    /// Every target that is here.
    pub fn targets(&self) -> impl Iterator<Item = TargetId> {
        self.exports.iter().map(|(number, _)| self.id(number))
    }

    /// A target.
    #[must_use]
    pub fn target(&self, id: TargetId) -> Option<&Target> {
        Some(&self.exports.get(self.exports.find(id.0)?)?.target)
    }

    /// Serves a target on `links`, and on no others. It is advertised on those that are new to it. What came by one that it leaves is
    /// answered there. Links that were removed are passed over.
    ///
    /// # Errors
    ///
    /// When another target is served at its address on one of the links, or the target was removed; then nothing changes.
    pub fn set_links(&mut self, id: TargetId, links: &[LinkId]) -> Result<(), AddError> {
        let number = self.number(id).ok_or(AddError::Removed)?;
        if let Some(export) = self.exports.get(number) {
            self.check_free(export.target.address(), links, Some(number))?;
        }
        self.serve(number, links);
        Ok(())
    }

    /// Has a target go by `options` for the frames that arrive from now on; see [`Target::set_options`]. Its address cannot change:
    /// that in `options` is passed over. It is advertised when what is advertised has changed, or to whom.
    pub fn set_options(&mut self, id: TargetId, options: TargetOptions) {
        let Some(number) = self.number(id) else { return };
        let Some(export) = self.exports.get_mut(number) else { return };
        let target = &mut export.target;
        let told = |of: &TargetOptions| (of.buffer_count, of.sector_align, of.allow.clone(), of.deny.clone());
        let limits = |of: &TargetOptions| (of.iops, of.bytes_per_second);
        let (before, limited) = (told(target.options()), limits(target.options()));
        target.set_options(options);
        let news = told(target.options()) != before;
        if limits(target.options()) != limited {
            export.set_limit();
        }
        if news {
            self.advertise_target(number);
        }
    }

    /// Changes what initiators have set, as the operator who clears a mask list that has locked everybody out.
    ///
    /// It is settled as a change from the wire: `edit` is called when no write is in flight and before any later frame is judged, in
    /// this call or in a [turn](Self::turn); what it made of the state is stored before it is in force. `edited` is told when that
    /// is done, or that nothing has changed because it could not be stored, or because the target was removed before
    /// ([`io::ErrorKind::NotFound`]). Both are dropped uncalled with a server that is dropped meanwhile.
    ///
    /// Keep to the limits of the wire: a config string of 1024 bytes, lists of 255 addresses that are neither zero nor a group's.
    pub fn edit_state(&mut self, id: TargetId, edit: EditState, edited: Edited) {
        let number = self.number(id);
        let Self { ports, exports, busy, in_flight, stats, .. } = self;
        let Some((number, export)) = number.and_then(|number| Some((number, exports.get_mut(number)?)))
        else {
            return edited(Err(io::Error::new(io::ErrorKind::NotFound, "this target was removed")));
        };
        let before = export.load();
        export.edit(edit, edited, ports, stats);
        book(export, number, before, in_flight, busy);
    }

    /// Tells a target that its disk has become what `disk` says, usually larger. It is advertised when that is news; the Linux
    /// driver reads the new size when the device is next opened.
    pub fn set_disk(&mut self, id: TargetId, disk: DeviceInfo) {
        let Some(number) = self.number(id) else { return };
        let Some(Export { target, .. }) = self.exports.get_mut(number) else { return };
        if *target.disk() != disk {
            target.set_disk(disk);
            self.advertise_target(number);
        }
    }

    /// Has a target's requests go to another queue from now on, that of `disk`; `None` when it is gone.
    ///
    /// Without a disk, ATA commands are answered with error 3, device unavailable, which has initiators try again; and when it has
    /// been gone for ten seconds of [`turn`](Self::turn), by ATA status 41 and error 04 (AoEr11 §2). Config string, mask list and
    /// reservation are answered for as ever. With a disk the target serves again, and is advertised where the disk was gone or has
    /// changed.
    ///
    /// What a queue was given ends there, good or not, before the queue is dropped, and what overlaps with it waits until then. So
    /// the order is kept over the change, as long as both are queues of one disk, where a flush of the one covers the writes of the
    /// other. A request that a lost disk fails, or that had not come to it, is answered as those that arrive then. Where writes were
    /// acknowledged that a cache may have lost with the disk, no flush succeeds again until the target is added anew.
    pub fn set_queue(&mut self, id: TargetId, disk: Option<OpenDisk<L::Frame>>) {
        let Some(number) = self.exports.find(id.0) else { return };
        let Some(export) = self.exports.get_mut(number) else { return };
        let Some((queue, info)) = disk else {
            export.target.lose_disk();
            return export.set_queue(None);
        };
        export.set_queue(Some(queue));
        if export.target.find_disk(info) {
            self.advertise_target(number);
        }
    }

    /// The name of target number `number`.
    pub(super) fn id(&self, number: usize) -> TargetId {
        TargetId(self.exports.name(number))
    }

    /// The number of a target that takes frames.
    pub(super) fn number(&self, id: TargetId) -> Option<usize> {
        let number = self.exports.find(id.0)?;
        self.exports.get(number).filter(|export| !export.leaving).map(|_| number)
    }

    /// Whether the address is free on these links, or target number `own` has it.
    fn check_free(&self, address: Address, links: &[LinkId], own: Option<usize>) -> Result<(), AddError> {
        let mut ports =
            self.ports.iter().enumerate().filter(|(at, port)| links.contains(&LinkId::of(*at, port)));
        let taken = |served: Option<usize>| served.is_some() && served != own;
        match ports.any(|(_, port)| taken(port.routes.find(address))) {
            true => Err(AddError::AddressInUse(address)),
            false => Ok(()),
        }
    }

    /// Routes the address of a target to it on these links, and on no others.
    fn serve(&mut self, number: usize, links: &[LinkId]) {
        let Self { ports, exports, stats, .. } = self;
        let Some(export) = exports.get_mut(number) else { return };
        let address = export.target.address();
        let mut serving = 0;
        for (at, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.link.is_some()) {
            let wanted = links.contains(&LinkId::of(at, port));
            let before = port.routes.find(address) == Some(number);
            if wanted && !before {
                port.routes.add(address, number);
                if port.is_advertised() {
                    export.advertise(port, at, stats);
                }
            } else if before && !wanted {
                port.routes.remove(address);
            }
            serving += usize::from(wanted);
        }
        if serving > 1 {
            export.watch_for_late();
        }
        self.order();
    }

    /// Puts frames of several links in order while a target is served on several.
    pub(super) fn order(&mut self) {
        let serving = |number, address| {
            self.ports.iter().filter(move |port| port.routes.find(address) == Some(number)).count()
        };
        if self.exports.iter().any(|(number, export)| serving(number, export.target.address()) > 1) {
            self.arrived.get_or_insert_default();
        } else {
            self.arrived = None;
        }
    }

    /// Advertises a target anew on every link that it is served on and that is up.
    fn advertise_target(&mut self, number: usize) {
        let Self { ports, exports, stats, .. } = self;
        let Some(export) = exports.get_mut(number) else { return };
        let address = export.target.address();
        for (at, port) in ports.iter_mut().enumerate() {
            if port.info.up && port.routes.find(address) == Some(number) {
                export.advertise(port, at, stats);
            }
        }
    }
}
