;; Log-soft-max sums over rows of logits, four floats at a time.
;;
;; The caller copies a row to an address, pads it with very negative floats to a multiple of 8, and asks for
;;   maximum(at, count)             the largest logit
;;   index_of(at, count, value)     where a value stands first
;;   sum_exp(at, count, maximum)    sum of exp(logit - maximum), terms in f32 as in llama-perplexity, sum in f64
;; so that  -log p(token) = log(sum) + maximum - logit[token];
;;   exp_row(at, into, count, maximum)
;;                                  the row less its maximum in place, and exp of that elsewhere: once for a reference
;;   cross(exp, at, other, count, other_maximum)
;;                                  sum of exp(a - max a) · ((a - max a) - (b - max b)), a prepared by exp_row, b as it is,
;; so that  KLD(a, b) = cross / sum a - log(sum a) + log(sum b).
;;
;; exp(x), x <= 0: x = n·ln 2 + r with |r| <= ln 2 / 2, exp(x) = 2^n · exp(r); exp(r) by the minimax polynomial of degree 6
;; of Cephes (S. Moshier, expf), relative error below 2e-7; ln 2 is split in two so that r is exact. Below -87 the
;; result would leave the normal floats: it is held there, at 1.6e-38, far under the last digit of any sum.
(module
  (memory (export "memory") 1)

  (func $exp (param $x v128) (result v128)
    (local $n v128)
    (local $r v128)
    (local $p v128)
    ;; In this order a NaN stays: x < -87 ? -87 : x.
    (local.set $x (f32x4.pmax (local.get $x) (v128.const f32x4 -87 -87 -87 -87)))
    (local.set $n (f32x4.nearest (f32x4.mul (local.get $x)
      (v128.const f32x4 0x1.715476p+0 0x1.715476p+0 0x1.715476p+0 0x1.715476p+0))))
    (local.set $r (f32x4.sub (local.get $x) (f32x4.mul (local.get $n)
      (v128.const f32x4 0.693359375 0.693359375 0.693359375 0.693359375))))
    (local.set $r (f32x4.add (local.get $r) (f32x4.mul (local.get $n)
      (v128.const f32x4 2.12194440e-4 2.12194440e-4 2.12194440e-4 2.12194440e-4))))
    (local.set $p (f32x4.add (f32x4.mul (local.get $r)
      (v128.const f32x4 1.9875691500e-4 1.9875691500e-4 1.9875691500e-4 1.9875691500e-4))
      (v128.const f32x4 1.3981999507e-3 1.3981999507e-3 1.3981999507e-3 1.3981999507e-3)))
    (local.set $p (f32x4.add (f32x4.mul (local.get $p) (local.get $r))
      (v128.const f32x4 8.3334519073e-3 8.3334519073e-3 8.3334519073e-3 8.3334519073e-3)))
    (local.set $p (f32x4.add (f32x4.mul (local.get $p) (local.get $r))
      (v128.const f32x4 4.1665795894e-2 4.1665795894e-2 4.1665795894e-2 4.1665795894e-2)))
    (local.set $p (f32x4.add (f32x4.mul (local.get $p) (local.get $r))
      (v128.const f32x4 1.6666665459e-1 1.6666665459e-1 1.6666665459e-1 1.6666665459e-1)))
    (local.set $p (f32x4.add (f32x4.mul (local.get $p) (local.get $r))
      (v128.const f32x4 5.0000001201e-1 5.0000001201e-1 5.0000001201e-1 5.0000001201e-1)))
    (local.set $p (f32x4.add (f32x4.mul (f32x4.mul (local.get $p) (local.get $r)) (local.get $r))
      (f32x4.add (local.get $r) (v128.const f32x4 1 1 1 1))))
    ;; 2^n: n goes into the exponent's bits.
    (f32x4.mul (local.get $p) (i32x4.shl
      (i32x4.add (i32x4.trunc_sat_f32x4_s (local.get $n)) (v128.const i32x4 127 127 127 127))
      (i32.const 23))))

  (func (export "maximum") (param $at i32) (param $count i32) (result f32)
    (local $end i32)
    (local $a v128)
    (local $b v128)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $a (v128.const f32x4 -inf -inf -inf -inf))
    (local.set $b (local.get $a))
    (loop $next
      (local.set $a (f32x4.pmax (local.get $a) (v128.load (local.get $at))))
      (local.set $b (f32x4.pmax (local.get $b) (v128.load offset=16 (local.get $at))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (local.set $a (f32x4.pmax (local.get $a) (local.get $b)))
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a)))
      (f32.max (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))

  (func (export "sum_exp") (param $at i32) (param $count i32) (param $maximum f32) (result f64)
    (local $end i32)
    (local $m v128)
    (local $terms v128)
    (local $low v128)
    (local $high v128)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $m (f32x4.splat (local.get $maximum)))
    (loop $next
      (local.set $terms (f32x4.add
        (call $exp (f32x4.sub (v128.load (local.get $at)) (local.get $m)))
        (call $exp (f32x4.sub (v128.load offset=16 (local.get $at)) (local.get $m)))))
      (local.set $low (f64x2.add (local.get $low) (f64x2.promote_low_f32x4 (local.get $terms))))
      (local.set $high (f64x2.add (local.get $high) (f64x2.promote_low_f32x4
        (i64x2.splat (i64x2.extract_lane 1 (local.get $terms))))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low))))

  (func (export "index_of") (param $at i32) (param $count i32) (param $value f32) (result i32)
    (local $i i32)
    (local $wanted v128)
    (local $here i32)
    (local.set $wanted (f32x4.splat (local.get $value)))
    ;; Eight at a time up to the eight that have it, then one by one.
    (loop $next
      (local.set $here (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 2))))
      (if (i32.eqz (v128.any_true (v128.or
          (f32x4.eq (v128.load (local.get $here)) (local.get $wanted))
          (f32x4.eq (v128.load offset=16 (local.get $here)) (local.get $wanted)))))
        (then (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (local.get $count))))))
    (loop $next
      (if (i32.ge_u (local.get $i) (local.get $count)) (then (return (i32.const -1))))
      (if (f32.eq (f32.load (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 2)))) (local.get $value))
        (then (return (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; A logit less the maximum, held at -1e30 so that -inf in both rows gives 0 and not NaN.
  (func $centred (param $logits v128) (param $maximum v128) (result v128)
    (f32x4.pmax (v128.const f32x4 -1e30 -1e30 -1e30 -1e30) (f32x4.sub (local.get $logits) (local.get $maximum))))

  (func (export "exp_row") (param $at i32) (param $into i32) (param $count i32) (param $maximum f32)
    (local $end i32)
    (local $m v128)
    (local $x v128)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $m (f32x4.splat (local.get $maximum)))
    (loop $next
      (local.set $x (call $centred (v128.load (local.get $at)) (local.get $m)))
      (v128.store (local.get $at) (local.get $x))
      (v128.store (local.get $into) (call $exp (local.get $x)))
      (local.set $into (i32.add (local.get $into) (i32.const 16)))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  (func (export "cross") (param $exp i32) (param $a i32) (param $b i32) (param $count i32) (param $maximum f32) (result f64)
    (local $end i32)
    (local $m v128)
    (local $terms v128)
    (local $low v128)
    (local $high v128)
    (local.set $end (i32.add (local.get $a) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $m (f32x4.splat (local.get $maximum)))
    (loop $next
      (local.set $terms (f32x4.mul (v128.load (local.get $exp))
        (f32x4.sub (v128.load (local.get $a)) (call $centred (v128.load (local.get $b)) (local.get $m)))))
      (local.set $low (f64x2.add (local.get $low) (f64x2.promote_low_f32x4 (local.get $terms))))
      (local.set $high (f64x2.add (local.get $high) (f64x2.promote_low_f32x4
        (i64x2.splat (i64x2.extract_lane 1 (local.get $terms))))))
      (local.set $exp (i32.add (local.get $exp) (i32.const 16)))
      (local.set $b (i32.add (local.get $b) (i32.const 16)))
      (br_if $next (i32.lt_u (local.tee $a (i32.add (local.get $a) (i32.const 16))) (local.get $end))))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low)))))
