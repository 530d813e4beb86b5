package simulator

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// mix is splitmix64: a number that looks random, from the seed, a call's number and what it is for.
func (s *Server) mix(n int32, purpose uint64) uint64 {
	x := uint64(s.o.Seed)*0x9e3779b97f4a7c15 ^ uint64(n)*0xbf58476d1ce4e5b9 ^ purpose*0x94d049bb133111eb
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// What mix is asked for.
const (
	forTime = iota + 1
	forLength
	forLong
	forContact
	forPerson
	forCampaign
	forDisposition
	forDelay
	forScore
	forCallback
	forOrder
	forFault
	forLate
	forLateness
	forVanish
	forHours
	forUnending
)

// chance draws for call g, which has the share's chance.
func (s *Server) chance(g int32, purpose uint64, share float64) bool {
	return share > 0 && s.draw(g, purpose) < share
}

// draw is a number from 0 up to 1.
func (s *Server) draw(g int32, purpose uint64) float64 {
	return float64(s.mix(g, purpose)>>11) / (1 << 53)
}

// lateness is how long after its end call g is listed, if it is one that is listed late.
func (s *Server) lateness(g int32) time.Duration {
	most := max(s.o.LateMost, s.o.LateBy)
	return time.Duration(float64(s.o.LateBy) * math.Pow(float64(most)/float64(s.o.LateBy), s.draw(g, forLateness)))
}

var unendingStatuses = []string{"no_answer", "busy", "canceled", "voicemail", "in_progress"}

// unendingStatus is what call g is for good, if it is one that never ends.
func (s *Server) unendingStatus(g int32) string {
	return cmp.Or(s.o.UnendingStatus, unendingStatuses[s.mix(g, forUnending)%uint64(len(unendingStatuses))])
}

// rowOf is the row of call g.
func (s *Server) rowOf(g int32, start time.Time, length time.Duration) row {
	r := row{start: start.UnixNano(), end: start.Add(length).UnixNano(), gen: g}
	if s.o.Dialect == Reference && s.chance(g, forUnending, s.o.Unending) {
		r.end = unended
	}
	return r
}

// generate makes the calls that are there from the start.
func (s *Server) generate() {
	n := s.o.Calls
	s.rows = make([]row, n)
	s.byEnd, s.byStart = make([]int32, n), make([]int32, n)
	begin := s.t0.Add(-s.o.Span)
	done := n - s.o.InProgress
	steady := s.o.Steady && s.o.Rate > 0
	for g := range int32(n) {
		length := s.length(g)
		var start time.Time
		if steady {
			start = s.t0.Add(-s.step(n - 1 - int(g))).Truncate(time.Second)
		} else if int(g) < done {
			step := float64(s.o.Span) / float64(done)
			start = begin.Add(time.Duration(step * (float64(g) + float64(s.mix(g, forTime)%1000)/1000))).Truncate(time.Second)
			if start.Add(length).After(s.t0) { // every one of these has ended
				start = s.t0.Add(-length - time.Duration(s.mix(g, forTime)%30)*time.Second)
			}
		} else {
			length = 60*time.Second + time.Duration(s.mix(g, forLength)%120)*time.Second
			start = s.t0.Add(-time.Duration(s.mix(g, forTime)%50) * time.Second)
		}
		s.rows[g] = s.rowOf(g, start, length)
		s.byEnd[g], s.byStart[g] = g, g
	}
	s.sort()
}

// ring is how long call g rang before it was answered or given up.
func (s *Server) ring(g int32) time.Duration {
	return time.Duration(5+s.mix(g, forLong)>>32%30) * time.Second
}

// length is call g's from dialling to its end.
func (s *Server) length(g int32) time.Duration {
	if s.chance(g, forHours, s.o.LongCalls) {
		return time.Hour + time.Duration(s.mix(g, forLength)%7200)*time.Second
	}
	if s.disposition(g) == "not_reachable" && s.mix(g, forLength)%4 != 0 {
		return s.ring(g)
	}
	talk := 15 + s.mix(g, forLength)%165
	if s.mix(g, forLong)%10 == 0 {
		talk += s.mix(g, forLong) % 700
	}
	return s.ring(g) + time.Duration(talk)*time.Second
}

// dispositions are all that are documented anywhere, the commoner ones more than once.
var dispositions = []string{
	"interested", "interested", "callback", "not_interested", "not_interested", "not_interested",
	"not_reachable", "not_reachable", "not_reachable", "dispute", "payment_promised", "already_paid", "dnd", "escalated",
}

func (s *Server) disposition(g int32) string {
	return dispositions[s.mix(g, forDisposition)%uint64(len(dispositions))]
}

// spelled gives a disposition as the dialect writes it.
func (d Dialect) spelled(disposition string) string {
	if d == Guide && disposition == "callback" {
		return "callback_requested"
	}
	return disposition
}

// made makes a generated call from its row.
func (s *Server) made(r row) Call {
	g := r.gen
	d := s.disposition(g)
	c := Call{
		ID:          s.idOf(g),
		Disposition: s.o.Dialect.spelled(d),
		Start:       time.Unix(0, r.start).UTC(),
		End:         time.Unix(0, r.end).UTC(),
	}
	c.Duration = c.End.Sub(c.Start) - s.ring(g)
	if k := s.mix(g, forCampaign) % 20; k > 0 { // the rest were started by hand
		c.Campaign = campaigns[k%uint64(len(campaigns))]
	}
	p := int32(s.mix(g, forContact) % uint64(s.o.Contacts))
	c.Phone, c.Name, c.Language = s.phone(p), s.name(p), languages[s.mix(p, forPerson)>>40%uint64(len(languages))]
	if float64(s.mix(g, forDelay)%1000) < s.o.LateDispositions*1000 {
		c.DispositionAt = c.End.Add(cmp.Or(s.o.DispositionDelay, time.Minute+time.Duration(s.mix(g, forDelay)>>32%540)*time.Second))
	}
	switch {
	case r.end == unended:
		c.End, c.Status, c.Disposition, c.Duration = time.Time{}, s.unendingStatus(g), "", 0
	case s.chance(g, forLate, s.o.LateRows):
		c.VisibleFrom = c.End.Add(s.lateness(g))
	}
	if r.end != unended && s.chance(g, forVanish, s.o.Vanishing) {
		c.GoneFrom = c.End.Add(s.o.VanishAfter)
	}
	if c.Duration <= 0 {
		c.Duration, c.NoTranscript = 0, true
		return c
	}
	k := s.mix(g, forScore)
	c.Sentiment = moods[d]
	c.QAScore = float64(55 + k%45)
	c.Summary = summaries[d]
	if d == "callback" && s.mix(g, forCallback)%2 == 0 {
		c.CallbackAt = c.End.Add(time.Duration(1+s.mix(g, forCallback)>>8%48) * time.Hour).Truncate(30 * time.Minute).Format(time.RFC3339)
	}
	return c
}

const (
	idBits = 35
	idMask = 1<<idBits - 1
	idMul  = 0x5851f42d | 1 // odd: every number has its own id
)

// idInverse undoes idMul modulo 2^35.
var idInverse = func() uint64 {
	x := uint64(idMul)
	for range 6 {
		x *= 2 - idMul*x
	}
	return x & idMask
}()

const idDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// idOf gives call g an id that tells nothing of its place in time.
func (s *Server) idOf(g int32) string {
	x := (uint64(g)*idMul + s.mix(0, 0)) & idMask
	var b [12]byte
	copy(b[:], "call_")
	for i := range 7 {
		b[5+i] = idDigits[x>>(5*i)&31]
	}
	return string(b[:])
}

// genOf is the reverse.
func (s *Server) genOf(id string) (int32, bool) {
	digits, ok := strings.CutPrefix(id, "call_")
	if !ok || len(digits) != 7 {
		return 0, false
	}
	var x uint64
	for i := range 7 {
		d := strings.IndexByte(idDigits, digits[i])
		if d < 0 {
			return 0, false
		}
		x |= uint64(d) << (5 * i)
	}
	g := (x - s.mix(0, 0)) * idInverse & idMask
	if g > 1<<31-1 {
		return 0, false
	}
	return int32(g), true
}

// blocks are beginnings of Indian mobile numbers that nobody takes for real, yet every validator accepts.
var blocks = []string{"99999", "98765", "90000", "88888", "77777", "70000", "98989", "91234", "80000", "60000"}

func (s *Server) phone(p int32) string {
	tail := strconv.Itoa(int(uint32(p)*7919%100_000) + 100_000)[1:]
	return "+91" + blocks[int(p)/100_000%len(blocks)] + tail
}

func (s *Server) name(p int32) string {
	k := s.mix(p, forPerson)
	return firstNames[k%uint64(len(firstNames))] + " " + lastNames[k>>20%uint64(len(lastNames))]
}

var (
	campaigns  = []string{"cmp_topup_loan", "cmp_emi_reminder", "cmp_policy_renewal", "cmp_feedback"}
	languages  = []string{"hi-IN", "hi-IN", "hi-IN", "en-IN", "en-IN", "ta-IN", "te-IN", "bn-IN", "mr-IN"}
	firstNames = []string{
		"Priya", "Rahul", "Ananya", "Arjun", "Kavya", "Vikram", "Meera", "Suresh", "Divya", "Karthik", "Lakshmi", "Rohan",
		"Sneha", "Imran", "Fatima", "Gurpreet", "Harleen", "Joseph", "Mary", "Debashish", "Ishita", "Nandini", "Omkar", "Pooja",
		"Ravi", "Saraswati", "Tanvi", "Venkatesh", "Yamini", "Zoya", "प्रिया", "रोहित", "கவிதா", "முருகன்", "శ్రీనివాస్", "সুমিতা",
	}
	lastNames = []string{
		"Sharma", "Iyer", "Reddy", "Banerjee", "Deshmukh", "Patel", "Nair", "Singh", "Khan", "D'Souza", "Mukherjee", "Kulkarni",
		"Gupta", "Subramaniam", "Naidu", "Chatterjee", "Joshi", "Verma", "Pillai", "Kaur", "Ansari", "Fernandes", "Das", "Patil",
	}
	moods = map[string]string{
		"interested": "positive", "callback": "neutral", "not_interested": "negative", "not_reachable": "neutral", "dispute": "negative",
		"payment_promised": "positive", "already_paid": "neutral", "dnd": "negative", "escalated": "negative",
	}
	summaries = map[string]string{
		"interested":       "Customer confirmed interest in the top-up loan product. A colleague will send the terms.",
		"callback":         "Customer was busy and asked to be called back at another time.",
		"not_interested":   "Customer was told about the offer and declined it.",
		"not_reachable":    "The line was answered, but nobody spoke.",
		"dispute":          "Customer disputes the last charge & wants a statement (\"I never ordered that\").",
		"payment_promised": "Customer promised to pay the open instalment by the end of the week.",
		"already_paid":     "Customer says that the instalment was paid on Monday.",
		"dnd":              "Customer asked not to be called again.",
		"escalated":        "Customer was upset and asked for a supervisor, who must call back today.",
	}
)
