package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// asOwner lets root work as the owner of a state file, so that no file of root's locks the service out and nobody has to change to the
// service's user first. It returns how to become root again. Whoever is not root, and whoever owns the file, stays who they are.
func asOwner(state string) (back func(), err error) {
	back = func() {}
	if os.Geteuid() != 0 {
		return back, nil
	}
	for _, path := range []string{state, filepath.Dir(state)} {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid == 0 {
			return back, nil
		}
		groups, err := unix.Getgroups()
		if err != nil {
			return back, err
		}
		// Root stays the saved user alone: programs that are started meanwhile cannot become root.
		if err := become(int(st.Uid), int(st.Gid), []int{int(st.Gid)}); err != nil {
			return back, fmt.Errorf("working as the owner of %s: %w", path, err)
		}
		return func() { _ = become(0, 0, groups) }, nil
	}
	return back, nil
}

// become changes the user of the whole process. The order matters: only root may change its groups.
func become(uid, gid int, groups []int) error {
	if uid == 0 {
		if err := syscall.Setresuid(0, 0, 0); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(gid, gid, 0); err != nil {
		return err
	}
	return syscall.Setresuid(uid, uid, 0)
}
