// Writes tests/independent/vectors.json: trees, proofs and a signed note as golang.org/x/mod/sumdb makes
// them, the code of Go's checksum database, which shares nothing with ours.
//
//	cd tests/independent && go run . > vectors.json
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Leaf, Size int64
	Path       []string
}

type consistency struct {
	Old, New int64
	Path     []string
}

type signature struct{ Seed, Name string }

type document struct {
	Leaves      []string
	Roots       []string
	Inclusion   []inclusion
	Consistency []consistency
	Cluster     string
	Size        int64
	Root        string
	Signers     []signature
	Note        string
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func words(hashes []tlog.Hash) []string {
	found := []string{}
	for _, hash := range hashes {
		found = append(found, hex.EncodeToString(hash[:]))
	}
	return found
}

func signer(seed []byte, name string) note.Signer {
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	hash := sha256.Sum256(append([]byte(name+"\n\x01"), public...))
	key := base64.StdEncoding.EncodeToString(append([]byte{1}, seed...))
	text := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, binary.BigEndian.Uint32(hash[:4]), key)
	made, err := note.NewSigner(text)
	check(err)
	return made
}

func main() {
	const count = 21
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(places []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, place := range places {
			found = append(found, all[place])
		}
		return found, nil
	})
	made := document{Roots: []string{}}
	for number := int64(0); number < count; number++ {
		data := sha256.Sum256([]byte{byte(number)})
		made.Leaves = append(made.Leaves, hex.EncodeToString(data[:]))
		hashes, err := tlog.StoredHashes(number, data[:], reader)
		check(err)
		all = append(all, hashes...)
		root, err := tlog.TreeHash(number+1, reader)
		check(err)
		made.Roots = append(made.Roots, hex.EncodeToString(root[:]))
	}
	for _, size := range []int64{1, 2, 3, 8, 13, 21} {
		for leaf := int64(0); leaf < size; leaf++ {
			path, err := tlog.ProveRecord(size, leaf, reader)
			check(err)
			made.Inclusion = append(made.Inclusion, inclusion{leaf, size, words(path)})
		}
		for old := int64(1); old <= size; old++ {
			path, err := tlog.ProveTree(size, old, reader)
			check(err)
			made.Consistency = append(made.Consistency, consistency{old, size, words(path)})
		}
	}
	cluster := sha256.Sum256([]byte("cluster"))
	made.Cluster, made.Size, made.Root = hex.EncodeToString(cluster[:]), count, made.Roots[count-1]
	root, err := hex.DecodeString(made.Root)
	check(err)
	text := fmt.Sprintf("ambient/%s\n%d\n%s\n", made.Cluster, count, base64.StdEncoding.EncodeToString(root))
	var signers []note.Signer
	for number := byte(0); number < 3; number++ {
		seed := sha256.Sum256([]byte{'s', number})
		name := hex.EncodeToString(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
		made.Signers = append(made.Signers, signature{hex.EncodeToString(seed[:]), name})
		signers = append(signers, signer(seed[:], name))
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	check(err)
	made.Note = string(signed)
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	check(encoder.Encode(made))
}
