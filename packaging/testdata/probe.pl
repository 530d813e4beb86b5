# Tries what a service should not be able to do, and prints a line for each attempt: "yes NAME" or "no NAME REASON".
# It is run inside of the service's sandbox, and outside of it to see that the attempts themselves are sound.
use strict;
use Config;
use POSIX ();
use Socket;

# Numbers of system calls: mmap, mount, unshare.
my ($mmap, $mount, $unshare) = $Config{archname} =~ /^aarch64/ ? (222, 40, 97) : (9, 165, 272);

sub report { my ($name, $done) = @_; my $why = "$!"; print $done ? "yes $name\n" : "no $name $why\n" }

# in_child runs what may be killed for it.
sub in_child {
	my ($name, $try) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid) { POSIX::_exit($try->() ? 0 : ($! & 127) || 1) }
	waitpid $pid, 0;
	my $signal = $? & 127;
	if ($signal) { print "no $name signal $signal\n" } else { local $! = $? >> 8; report($name, $? == 0) }
}

sub writes { my ($name, $dir) = @_; my $file = "$dir/probe-$$"; my $done = open(my $f, '>', $file); report("write-$name", $done); unlink $file if $done }

writes(etc => '/etc');
writes(usr => '/usr/bin');
writes(var => '/var/lib');
writes(root => '/root');
writes(home => '/home');
writes(configuration => '/etc/vinfer-sync');
writes(state => $ENV{STATE_DIRECTORY} // '/var/lib/vinfer-sync');
writes(tmp => '/tmp');
report('see-others-tmp', -e '/tmp/of-others');
report('see-other-processes', -d '/proc/1');
report('see-kernel-settings', -d '/proc/sys');
report('see-configuration', open(my $config, '<', '/etc/vinfer-sync/config.yaml'));
report('read-shadow', open(my $shadow, '<', '/etc/shadow'));
report('socket-inet', socket(my $inet, AF_INET, SOCK_STREAM, 0));
report('socket-netlink', socket(my $netlink, 16, SOCK_RAW, 0));
report('socket-packet', socket(my $packet, 17, SOCK_RAW, 0));
in_child('memory-writable-and-executable', sub { syscall($mmap, 0, 4096, 7, 0x22, -1, 0) != -1 });
in_child('new-namespace', sub { syscall($unshare, 0x04000000) == 0 });
in_child('mount', sub { # seen by nobody else: in a namespace of its own, that is cut off from the one before
	my ($type, $at, $all) = ("tmpfs\0", "/tmp\0", "/\0");
	syscall($unshare, 0x00020000) == 0 and syscall($mount, $type, $all, $type, 0x44000, 0) == 0 and syscall($mount, $type, $at, $type, 0, 0) == 0;
});
in_child('change-user', sub { POSIX::setuid(0) });
