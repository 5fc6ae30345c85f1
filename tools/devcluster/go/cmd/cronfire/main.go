// Command cronfire prints when the CronJob controller would fire a schedule: one UTC instant a line, for
// the fire times t with FROM < t <= TO. It uses the controller's own parser.
//
//	cronfire SPEC ZONE FROM TO     cronfire '30 9 * * 1-5' Australia/Sydney 2026-01-01T00:00:00Z 2026-02-01T00:00:00Z
//	cronfire -                     reads such lines, fields separated by tabs, from standard input;
//	                               answers each with one line of instants separated by blanks
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cronfire:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 1 && arguments[0] == "-" {
		return answerLines()
	}
	if len(arguments) != 4 {
		return fmt.Errorf("usage: cronfire SPEC ZONE FROM TO, or cronfire - to read lines")
	}
	times, err := fireTimes(arguments[0], arguments[1], arguments[2], arguments[3])
	for _, fire := range times {
		fmt.Println(fire)
	}
	return err
}

func answerLines() error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			return fmt.Errorf("line %q: want SPEC, ZONE, FROM and TO separated by tabs", lines.Text())
		}
		times, err := fireTimes(fields[0], fields[1], fields[2], fields[3])
		if err != nil {
			return err
		}
		fmt.Fprintln(out, strings.Join(times, " "))
	}
	return lines.Err()
}

// fireTimes returns the fire times after from, up to and including to, as RFC 3339 in UTC.
func fireTimes(spec, zone, from, to string) ([]string, error) {
	after, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return nil, err
	}
	until, err := time.Parse(time.RFC3339, to)
	if err != nil {
		return nil, err
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return nil, err
	}
	schedule, err := cron.ParseStandard("TZ=" + zone + " " + spec)
	if err != nil {
		return nil, err
	}
	var times []string
	for fire := schedule.Next(after); !fire.IsZero() && !fire.After(until); fire = schedule.Next(fire) {
		times = append(times, fire.UTC().Format(time.RFC3339))
	}
	return times, nil
}
