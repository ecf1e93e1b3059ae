// Writes ../receipt-log-go.json: trees and notes as independent implementations have them.
//
//	go run . > ../receipt-log-go.json
//
// Trees and proofs: golang.org/x/mod/sumdb/tlog. Notes: golang.org/x/mod/sumdb/note. Cosignatures
// of witnesses: github.com/transparency-dev/formats/note, whose time is that of the run.
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

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const leaves = 33

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

func texts(path []tlog.Hash) []string {
	found := []string{}
	for _, step := range path {
		found = append(found, hex.EncodeToString(step[:]))
	}
	return found
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// key gives a signer, and its verifier's text, for a seed of one repeated byte.
func key(name string, seed byte, algorithm byte) (string, string, ed25519.PublicKey) {
	private := make([]byte, ed25519.SeedSize)
	for i := range private {
		private[i] = seed
	}
	public := ed25519.NewKeyFromSeed(private).Public().(ed25519.PublicKey)
	named := append([]byte(name+"\n"), append([]byte{algorithm}, public...)...)
	digest := sha256.Sum256(named)
	id := fmt.Sprintf("%08x", binary.BigEndian.Uint32(digest[:4]))
	encode := base64.StdEncoding.EncodeToString
	signer := "PRIVATE+KEY+" + name + "+" + id + "+" + encode(append([]byte{1}, private...))
	verifier := name + "+" + id + "+" + encode(append([]byte{algorithm}, public...))
	return signer, verifier, public
}

type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Path  []string `json:"path"`
}

type consistency struct {
	OldSize int64    `json:"old_size"`
	Size    int64    `json:"size"`
	Path    []string `json:"path"`
}

type member struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Verifier string `json:"verifier"`
}

func main() {
	var stored hashes
	roots := []string{}
	for i := int64(0); i < leaves; i++ {
		stored = append(stored, must(tlog.StoredHashes(i, []byte(fmt.Sprintf("receipt %d", i)), stored))...)
		root := must(tlog.TreeHash(i+1, stored))
		roots = append(roots, hex.EncodeToString(root[:]))
	}
	var inclusions []inclusion
	var consistencies []consistency
	for _, size := range []int64{1, 2, 3, 7, 8, 13, 32, 33} {
		for index := int64(0); index < size; index++ {
			path := must(tlog.ProveRecord(size, index, stored))
			inclusions = append(inclusions, inclusion{index, size, texts(path)})
			tree := must(tlog.ProveTree(size, index+1, stored))
			consistencies = append(consistencies, consistency{index + 1, size, texts(tree)})
		}
	}
	cluster := sha256.Sum256([]byte("cluster"))
	root := must(tlog.TreeHash(leaves, stored))
	text := fmt.Sprintf("ambient/%x\n%d\n%s\n", cluster, leaves, base64.StdEncoding.EncodeToString(root[:]))
	var members []member
	var signers []note.Signer
	for i, name := range []string{"node1", "node2", "node3"} {
		private, verifier, public := key(name, byte(i+1), 1)
		members = append(members, member{name, hex.EncodeToString(public), verifier})
		signers = append(signers, must(note.NewSigner(private)))
	}
	signed := must(note.Sign(&note.Note{Text: text}, signers...))
	private, _, public := key("witness.example", 9, 4)
	witness := must(fnote.NewSignerForCosignatureV1(private))
	cosigned := must(note.Sign(must(note.Open(signed, must(list(members)))), witness))
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	out.Encode(map[string]any{
		"leaves": leaves, "roots": roots, "inclusion": inclusions, "consistency": consistencies,
		"cluster": hex.EncodeToString(cluster[:]), "text": text, "members": members,
		"signed": string(signed), "cosigned": string(cosigned),
		"witness": member{"witness.example", hex.EncodeToString(public), ""},
	})
}

func list(members []member) (note.Verifiers, error) {
	var verifiers []note.Verifier
	for _, each := range members {
		verifiers = append(verifiers, must(note.NewVerifier(each.Verifier)))
	}
	return note.VerifierList(verifiers...), nil
}
