//go:build unix

package filestore

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// isMine reports whether a file or directory belongs to the user of this process.
func isMine(info fs.FileInfo) bool {
	return ownerOf(info) == os.Geteuid()
}

// ownerOf returns the number of the user that a file belongs to.
func ownerOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// checkWay follows the absolute path dir from the root directory, through symbolic
// links, and returns an error if another user could put another directory in its
// place. The directory at the end is for [Store.open] to check.
func checkWay(dir string) error {
	way := []string{"/"} // the directories on the way, without links
	rest := strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		at := way[len(way)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		if err := checkStep(at, dir); err != nil {
			return err
		}
		at = filepath.Join(at, name)
		target, isLink, err := readLink(at, dir)
		if err != nil {
			return err
		}
		if !isLink {
			way = append(way, at)
			continue
		}
		if links++; links > 40 { // as in the kernel
			return &fs.PathError{Op: "open", Path: dir, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			way = way[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// checkStep returns an error if another user could replace what is in the
// directory at, which leads to dir. In a sticky directory, such as /tmp, users can
// replace only what is theirs.
func checkStep(at, dir string) error {
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	if err := checkOwner(info, at, dir); err != nil {
		return err
	}
	writable := info.Mode().Perm() & 0o022
	if isPrivate(info) {
		writable &^= 0o020
	}
	if writable != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others can write to %s and put another directory in the place of %s: "+
			"keep them out (chmod go-w), let them replace only what is theirs (chmod +t), or name another directory", at, dir)
	}
	return nil
}

// checkOwner returns an error if the directory or link at, which leads to dir,
// belongs to another user than root and that of this process.
func checkOwner(info fs.FileInfo, at, dir string) error {
	if owner := ownerOf(info); owner != 0 && !isMine(info) {
		return fmt.Errorf("%s belongs to user %d, who can put another directory in the place of %s: "+
			"give it to root or to the user of this process, %d, or name another directory", at, owner, dir, os.Geteuid())
	}
	return nil
}

// isPrivate reports whether the group of a directory has no members but the user
// of this process, or root: group 0, or the group with the number of the user. Many
// Linux distributions make such a group for each user, and let it write by default.
func isPrivate(info fs.FileInfo) bool {
	group := int(info.Sys().(*syscall.Stat_t).Gid)
	return group == 0 || group == os.Geteuid()
}

// readLink returns where a symbolic link leads, if at is one.
func readLink(at, dir string) (target string, isLink bool, err error) {
	info, err := os.Lstat(at)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return "", false, err
	}
	if err := checkOwner(info, at, dir); err != nil {
		return "", false, err
	}
	target, err = os.Readlink(at)
	return target, true, err
}
