//! What a step does, and how it ends.

use std::time::Duration;

use aoe_initiator::Control;
use aoe_wire::{
    AtaArg, AtaCommand, ConfigCommand, Directive, DirectiveCommand, MacAddr, MaskCommand, ReserveCommand,
};

use super::plan::{Deed, Interface, Step};
use super::run::Run;
use crate::{StationId, Trouble};

/// How long it is tried to change a setting.
const TRIES: Duration = Duration::from_secs(20);

impl Run<'_> {
    /// Does what step number `number` says.
    pub(super) fn begin(&mut self, number: usize, step: &Step) -> Result<(), String> {
        let (kind, lasts) = match step.deed {
            Deed::Ask { user, disk, op } => {
                self.users[user].ask(disk, op);
                return self.look();
            }
            Deed::Config(disk, text) => {
                let string = format!("{text:x}").repeat(1 + text as usize % 8).into_bytes();
                self.change(disk, Control::Config { command: ConfigCommand::FORCE, string }, TRIES);
                ("changes of a config string", None)
            }
            Deed::Mask(disk, users) => {
                let directives = self.directives(users);
                self.change(disk, Control::Mask { command: MaskCommand::EDIT, directives }, TRIES);
                ("changes of a mask list", None)
            }
            Deed::Reserve(disk, users) => {
                let macs = if users == 0 { Vec::new() } else { self.macs(users | 1) };
                self.change(disk, Control::Reserve { command: ReserveCommand::FORCE, macs }, TRIES);
                ("changes of a reservation", None)
            }
            Deed::WriteCache(disk, on) => {
                let feature = if on { 0x02 } else { 0x82 };
                let arg = AtaArg {
                    err_feature: feature,
                    cmd_status: AtaCommand::SET_FEATURES.0,
                    ..AtaArg::default()
                };
                self.change(disk, Control::Ata { arg, data: Vec::new(), expect: 0 }, TRIES);
                if on {
                    self.users.iter_mut().for_each(|user| user.expect_cache(disk));
                }
                ("changes of a write cache", None)
            }
            Deed::Kill(host, time) => {
                self.kill(host)?;
                ("processes killed", Some(time))
            }
            Deed::Cut(host, time) => {
                self.cut(host)?;
                ("power cuts", Some(time))
            }
            Deed::CutInStore(disk, call, time) => {
                let (host, export) = (self.disks[disk].host, self.disks[disk].export);
                self.dark[host] = time;
                self.world.target(self.hosts[host]).store(export).fail_power_at(Some(call));
                ("power cuts waiting for a setting to be stored", None)
            }
            Deed::Stop(host, time) => {
                self.world.target(self.hosts[host]).set_stopped(true);
                ("processes stopped", Some(time))
            }
            Deed::Down(interface, time) => {
                let station = self.station(interface);
                self.world.net.set_up(station, false);
                ("interfaces down", Some(time))
            }
            Deed::Mtu(interface, mtu, time) => {
                let station = self.station(interface);
                self.world.net.set_mtu(station, mtu);
                ("changes of an MTU", Some(time))
            }
            Deed::Unread(host, link, time) => {
                let station = self.station(Interface::Host(host, link));
                self.world.net.set_unread(station, true);
                ("receive queues read late", Some(time))
            }
            Deed::Fail(disk, trouble, time) => {
                self.disks[disk].disk.disk().set_trouble(trouble);
                let kind = match trouble {
                    Trouble { sync: true, .. } => "disks whose syncs fail",
                    Trouble { full_from: Some(_), .. } => "disks without room",
                    _ => "disks with bad sectors",
                };
                (kind, Some(time))
            }
            Deed::NoRoom(disk, time) => {
                let (host, export) = (self.disks[disk].host, self.disks[disk].export);
                self.world.target(self.hosts[host]).store(export).set_full(true);
                ("no room for settings", Some(time))
            }
        };
        self.tally.count(kind, 1);
        if let Some(time) = lasts {
            self.ends.insert((self.world.now() + time, number), number);
        }
        Ok(())
    }

    /// Ends what step number `number` began.
    pub(super) fn end(&mut self, number: usize) -> Result<(), String> {
        // Beyond the steps there are hosts whose power failed while they stored.
        let Some(step) = self.plan.steps.get(number) else {
            return self.start(number - self.plan.steps.len());
        };
        match step.deed {
            Deed::Kill(host, _) | Deed::Cut(host, _) => self.start(host)?,
            Deed::Stop(host, _) => self.world.target(self.hosts[host]).set_stopped(false),
            Deed::Down(interface, _) => {
                let station = self.station(interface);
                self.world.net.set_up(station, true);
            }
            Deed::Mtu(interface, ..) => {
                let station = self.station(interface);
                self.world.net.set_mtu(station, self.mtu(interface));
            }
            Deed::Unread(host, link, _) => {
                let station = self.station(Interface::Host(host, link));
                self.world.net.set_unread(station, false);
            }
            Deed::Fail(disk, ..) => self.disks[disk].disk.disk().set_trouble(Trouble::default()),
            Deed::NoRoom(disk, _) => {
                let (host, export) = (self.disks[disk].host, self.disks[disk].export);
                self.world.target(self.hosts[host]).store(export).set_full(false);
            }
            Deed::Ask { .. }
            | Deed::Config(..)
            | Deed::Mask(..)
            | Deed::Reserve(..)
            | Deed::WriteCache(..)
            | Deed::CutInStore(..) => {}
        }
        Ok(())
    }

    /// Ends every fault, and opens the disks to all again.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        while let Some((_, number)) = self.ends.pop_first() {
            self.end(number)?;
        }
        for (disk, host) in self.disks.iter().map(|disk| (disk.export, disk.host)).collect::<Vec<_>>() {
            self.world.target(self.hosts[host]).store(disk).fail_power_at(None);
        }
        // What was asked for before has been answered by then, and what is late has come.
        let quiet = self.world.now() + TRIES + Duration::from_secs(1);
        self.run_to(quiet)?;
        for disk in 0..self.disks.len() {
            let directives = self.directives(u32::MAX);
            self.change(disk, Control::Mask { command: MaskCommand::EDIT, directives }, 10 * TRIES);
            let free = Control::Reserve { command: ReserveCommand::FORCE, macs: Vec::new() };
            self.change(disk, free, 10 * TRIES);
        }
        Ok(())
    }

    /// Ends a host's process, and the power with it.
    pub(super) fn cut(&mut self, host: usize) -> Result<(), String> {
        self.kill(host)?;
        for at in 0..self.disks.len() {
            if self.disks[at].host != host {
                continue;
            }
            let disk = &mut self.disks[at];
            disk.disk.disk().cut();
            disk.wire.cut();
            self.world.target(self.hosts[host]).store(disk.export).cut();
            self.users.iter_mut().for_each(|user| user.cut(at));
        }
        Ok(())
    }

    fn kill(&mut self, host: usize) -> Result<(), String> {
        self.look_at_wires()?;
        self.world.kill_target(self.hosts[host]);
        for disk in self.disks.iter_mut().filter(|disk| disk.host == host) {
            disk.wire.ended()?;
        }
        Ok(())
    }

    fn start(&mut self, host: usize) -> Result<(), String> {
        let id = self.hosts[host];
        if self.world.target(id).is_alive() {
            return Ok(());
        }
        self.world.try_restart_target(id).map_err(|wrong| format!("host {host} does not start: {wrong}"))?;
        for disk in self.disks.iter_mut().filter(|disk| disk.host == host) {
            let store = self.world.target(id).store(disk.export);
            let attempts = store.take_attempts();
            disk.wire.started(store.load()?, attempts)?;
        }
        Ok(())
    }

    /// Has the first user change a setting of a disk.
    fn change(&mut self, disk: usize, control: Control, tries: Duration) {
        if let Some((client, remote)) = self.users[0].remote(disk) {
            let _ = self.world.client(client).initiator().control(remote, control, Some(tries));
        }
    }

    /// Lets in these users and the first; everybody, when these are all.
    fn directives(&mut self, users: u32) -> Vec<Directive> {
        let all = (1 << self.users.len()) - 1;
        let listed = self.macs(if users & all | 1 == all { 0 } else { users | 1 });
        let known = self.macs(u32::MAX);
        let directive = |mac| {
            let command =
                if listed.contains(&mac) { DirectiveCommand::ADD } else { DirectiveCommand::DELETE };
            Directive::new(command, mac)
        };
        known.into_iter().map(directive).collect()
    }

    fn macs(&mut self, users: u32) -> Vec<MacAddr> {
        let mut macs = Vec::new();
        for user in (0..self.users.len()).filter(|user| users >> user & 1 == 1) {
            let stations = self.users[user].stations(&mut self.world);
            macs.extend(stations.into_iter().map(|station| self.world.net.info(station).mac));
        }
        macs
    }

    fn station(&mut self, interface: Interface) -> StationId {
        match interface {
            Interface::Host(host, link) => {
                let host = self.world.target(self.hosts[host]);
                host.stations().nth(link).expect("a plan names interfaces that there are")
            }
            Interface::User(user, link) => self.users[user].stations(&mut self.world)[link],
        }
    }

    fn mtu(&self, interface: Interface) -> u32 {
        match interface {
            Interface::Host(host, _) => self.plan.hosts[host].mtu,
            Interface::User(user, _) => self.plan.users[user].mtu,
        }
    }
}
