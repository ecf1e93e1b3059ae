// Reads orders as JSON lines, adds them up in goroutines, and answers as JSON.
package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

type order struct {
	Customer string  `json:"customer"`
	Amount   float64 `json:"amount"`
	Count    int     `json:"count"`
}

type total struct {
	Customer string  `json:"customer"`
	Orders   int     `json:"orders"`
	Sum      float64 `json:"sum"`
	Root     float64 `json:"root"`
}

type report struct {
	Totals   []total  `json:"totals"`
	Bad      []string `json:"bad"`
	Digest   string   `json:"digest"`
	Random   string   `json:"random"`
	Slept    string   `json:"slept"`
	Ticks    int      `json:"ticks"`
	File     string   `json:"file"`
	Depth    int      `json:"depth"`
	Platform string   `json:"platform"`
}

func depth(n int, path []int) int {
	if n == 0 {
		return len(path)
	}
	return depth(n-1, append(path, n))
}

func main() {
	fail := flag.Bool("fail", false, "end with an error")
	flag.Parse()
	lines := make(chan string)
	var mutex sync.Mutex
	var workers sync.WaitGroup
	sums := map[string]*total{}
	var bad []string
	for range 4 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for line := range lines {
				var parsed order
				err := json.Unmarshal([]byte(line), &parsed)
				mutex.Lock()
				if err != nil {
					bad = append(bad, err.Error())
				} else {
					entry := sums[parsed.Customer]
					if entry == nil {
						entry = &total{Customer: parsed.Customer}
						sums[parsed.Customer] = entry
					}
					entry.Orders += parsed.Count
					entry.Sum += parsed.Amount * float64(parsed.Count)
				}
				mutex.Unlock()
			}
		}()
	}
	scanner := bufio.NewScanner(os.Stdin)
	digest := sha256.New()
	for scanner.Scan() {
		digest.Write(scanner.Bytes())
		if text := strings.TrimSpace(scanner.Text()); text != "" {
			lines <- text
		}
	}
	close(lines)
	workers.Wait()

	answer := report{Bad: bad, Digest: hex.EncodeToString(digest.Sum(nil)), Platform: runtime.GOOS}
	for _, entry := range sums {
		entry.Root = math.Sqrt(entry.Sum)
		answer.Totals = append(answer.Totals, *entry)
	}
	sort.Slice(answer.Totals, func(a, b int) bool {
		return answer.Totals[a].Customer < answer.Totals[b].Customer
	})
	sort.Strings(answer.Bad)

	before := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	deadline := time.After(55 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case <-ticker.C:
			answer.Ticks++
		case <-deadline:
			waiting = false
		}
	}
	time.Sleep(time.Second)
	answer.Slept = time.Since(before).Round(100 * time.Millisecond).String()

	random := make([]byte, 8)
	rand.Read(random)
	answer.Random = hex.EncodeToString(random)
	if _, err := os.Open("/etc/passwd"); err == nil || errors.Is(err, fs.ErrExist) {
		answer.File = "opened"
	} else {
		answer.File = "absent"
	}
	answer.Depth = depth(200, nil)
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(answer); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "done")
	if *fail || len(answer.Totals) == 0 {
		os.Exit(3)
	}
}
