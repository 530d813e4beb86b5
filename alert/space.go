package alert

import "golang.org/x/sys/unix"

// SpaceOf returns the room on the disk of a directory: what is free for who is not root.
func SpaceOf(dir string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Space{}, err
	}
	size := uint64(s.Bsize)
	return Space{Path: dir, Free: s.Bavail * size, Total: s.Blocks * size}, nil
}
