//! Constants of the kernels. Made by `sollya src/coeffs.sollya > src/coeffs.rs`;
//! do not edit. Each bound is certified by Sollya's `supnorm`.

/// Constants of the `f32` kernel.
pub(crate) mod single {
    /// log2(e).
    pub(crate) const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);
    /// ln 2 to 16 bits, so that k LN2_HI is exact for every exponent k.
    pub(crate) const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
    /// ln 2 - LN2_HI.
    pub(crate) const LN2_LO: f32 = f32::from_bits(0x35bf_be8e);
    /// The factor C of what stands for e^x.
    pub(crate) const EXP_SCALE: f32 = f32::from_bits(0x3fa0_f5ac);
    /// C exp(r) = C + C r + r^2 EXP(r) on |r| <= ln(2)/2; relative error <= 2^-28.171.
    pub(crate) const EXP: [f32; 5] = [
        f32::from_bits(0x3f20_f5ab),
        f32::from_bits(0x3e56_9c6a),
        f32::from_bits(0x3d56_9e99),
        f32::from_bits(0x3c2c_6b63),
        f32::from_bits(0x3ae4_16e6),
    ];
    /// log1p(e) = C e LOG1P(C e) on [0, 1], the first of them 1/C; relative error <= 2^-27.528.
    pub(crate) const LOG1P: [f32; 10] = [
        f32::from_bits(0x3f4b_9437),
        f32::from_bits(0xbea1_e457),
        f32::from_bits(0x3e2b_a418),
        f32::from_bits(0xbdcc_6bae),
        f32::from_bits(0x3d80_48f8),
        f32::from_bits(0xbd1f_1608),
        f32::from_bits(0x3cb0_0401),
        f32::from_bits(0xbc17_2ba2),
        f32::from_bits(0x3b28_841f),
        f32::from_bits(0xb9b0_1c5a),
    ];
    /// ln(1 + g) = g + g^2 LN(g) for 1 + g within a factor sqrt(2) of 1; absolute error <= 2^-30.191.
    pub(crate) const LN: [f32; 9] = [
        f32::from_bits(0xbeff_fff8),
        f32::from_bits(0x3eaa_aaa6),
        f32::from_bits(0xbe80_031b),
        f32::from_bits(0x3e4c_d3fb),
        f32::from_bits(0xbe29_ed5d),
        f32::from_bits(0x3e11_039f),
        f32::from_bits(0xbe08_7976),
        f32::from_bits(0x3e05_9ff8),
        f32::from_bits(0xbd9b_ce41),
    ];
    /// 2 atanh(x) = 2 x + x^3 ATANH(x^2) for |x| <= 1/2; relative error <= 2^-29.42.
    pub(crate) const ATANH: [f32; 6] = [
        f32::from_bits(0x3f2a_aaa0),
        f32::from_bits(0x3ecc_d33a),
        f32::from_bits(0x3e91_a6e8),
        f32::from_bits(0x3e71_fde7),
        f32::from_bits(0x3dd3_6ef5),
        f32::from_bits(0x3eb4_96e3),
    ];
}

/// Constants of the `f64` kernel.
pub(crate) mod double {
    /// ln 2 to 42 bits, so that k LN2_HI is exact for every exponent k.
    pub(crate) const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fefa_3800);
    /// ln 2 - LN2_HI.
    pub(crate) const LN2_LO: f64 = f64::from_bits(0x3d2e_f357_93c7_6730);
    /// 8 log2(e): x INVERSE_STEP, rounded to an integer, is n.
    pub(crate) const INVERSE_STEP: f64 = f64::from_bits(0x4027_1547_652b_82fe);
    /// Adding it rounds to an integer; s = ROUNDER STEP_LO - STEP_HI.
    pub(crate) const ROUNDER: f64 = f64::from_bits(0x4332_58d5_db3d_5610);
    /// ln(2)/8 to 52 bits, rounded down: x - n STEP_HI is exact where it is below 2^-2 and |x| is not below 2^-3.
    pub(crate) const STEP_HI: f64 = f64::from_bits(0x3fb6_2e42_fefa_39ee);
    /// ln(2)/8 - STEP_HI.
    pub(crate) const STEP_LO: f64 = f64::from_bits(0x3c73_5793_c767_3008);
    /// 2^(j/8) e^s for j = 0 to 7, relative error <= 2^-58.58, each pattern less (ROUNDER + j) 2^49: plus (ROUNDER + n) 2^49 it is that of 2^(n/8) e^s. ROUNDER is a multiple of 8.
    pub(crate) const EXP_TABLE: [f64; 8] = [
        f64::from_bits(0x93cf_fff4_eea3_41d8),
        f64::from_bits(0x93cf_72b2_3396_794f),
        f64::from_bits(0x93cf_06f7_7577_8773),
        f64::from_bits(0x93ce_bfd3_a800_e1b9),
        f64::from_bits(0x93ce_a096_9301_e02d),
        f64::from_bits(0x93ce_acdc_b958_749d),
        f64::from_bits(0x93ce_e896_4aca_657b),
        f64::from_bits(0x93cf_580e_b6c7_3fb4),
    ];
    /// exp(r) = 1 + r + r^2 EXP(r) on |r| <= ln(2)/16 and s more; relative error <= 2^-58.283.
    pub(crate) const EXP: [f64; 6] = [
        f64::from_bits(0x3fe0_0000_0000_010b),
        f64::from_bits(0x3fc5_5555_5555_5130),
        f64::from_bits(0x3fa5_5555_5480_cdc6),
        f64::from_bits(0x3f81_1111_125d_ce57),
        f64::from_bits(0x3f56_c1cb_ded7_a10a),
        f64::from_bits(0x3f2a_0163_916e_7619),
    ];
    /// expm1(x) = x + x^2 EXPM1(x) on |x| <= ln(2)/2; relative error <= 2^-54.176.
    pub(crate) const EXPM1: [f64; 10] = [
        f64::from_bits(0x3fe0_0000_0000_000a),
        f64::from_bits(0x3fc5_5555_5555_54fe),
        f64::from_bits(0x3fa5_5555_5555_06c0),
        f64::from_bits(0x3f81_1111_1112_6b37),
        f64::from_bits(0x3f56_c16c_1847_5a25),
        f64::from_bits(0x3f2a_01a0_12fe_c324),
        f64::from_bits(0x3efa_0199_963c_51b7),
        f64::from_bits(0x3ec7_1df1_8fbb_5452),
        f64::from_bits(0x3e92_8adf_7a82_c1db),
        f64::from_bits(0x3e5a_d92c_8121_229d),
    ];
    /// w LOG1P(w) = (1 - u / sinh(u)) / 2 for w = 4 sinh(u/2)^2 in [0, 1/2]; absolute error <= 2^-57.855.
    pub(crate) const LOG1P: [f64; 10] = [
        f64::from_bits(0x3fb5_5555_5555_5500),
        f64::from_bits(0xbf91_1111_1110_8dc1),
        f64::from_bits(0x3f6d_41d4_1cb5_e8d5),
        f64::from_bits(0xbf4a_019f_f50e_9d0d),
        f64::from_bits(0x3f27_a45d_61ec_a6b8),
        f64::from_bits(0xbf05_d249_b712_771b),
        f64::from_bits(0x3ee4_561c_13aa_4ce0),
        f64::from_bits(0xbec2_d85b_5697_2256),
        f64::from_bits(0x3ea0_134b_256d_6624),
        f64::from_bits(0xbe72_87b8_0370_98b9),
    ];
    /// ln(1 + g) = g + g^2 LN(g) for 1 + g within a factor sqrt(2) of 1; absolute error <= 2^-56.509.
    pub(crate) const LN: [f64; 19] = [
        f64::from_bits(0xbfdf_ffff_ffff_ffef),
        f64::from_bits(0x3fd5_5555_5555_4c30),
        f64::from_bits(0xbfd0_0000_0000_14c5),
        f64::from_bits(0x3fc9_9999_99ac_2fc6),
        f64::from_bits(0xbfc5_5555_5550_7044),
        f64::from_bits(0x3fc2_4924_8b49_ac0c),
        f64::from_bits(0xbfbf_ffff_f4fe_5859),
        f64::from_bits(0x3fbc_71c9_c3a3_d05d),
        f64::from_bits(0xbfb9_999d_ccfd_f7fc),
        f64::from_bits(0x3fb7_4589_7e55_f129),
        f64::from_bits(0xbfb5_54af_2744_139f),
        f64::from_bits(0x3fb3_b58a_a59d_99ac),
        f64::from_bits(0xbfb2_56a2_eced_5a5a),
        f64::from_bits(0x3fb0_ef72_da26_fa0d),
        f64::from_bits(0xbfae_ce8e_4753_6df4),
        f64::from_bits(0x3fae_9b43_3cc2_e37a),
        f64::from_bits(0xbfb1_8ff5_42d1_fbc7),
        f64::from_bits(0x3fb0_57c5_0b8a_e63e),
        f64::from_bits(0xbf9c_eee1_7464_565e),
    ];
    /// 2 atanh(x) = 2 x + x^3 ATANH(x^2) for |x| <= 1/2; relative error <= 2^-60.908.
    pub(crate) const ATANH: [f64; 14] = [
        f64::from_bits(0x3fe5_5555_5555_554c),
        f64::from_bits(0x3fd9_9999_9999_b38a),
        f64::from_bits(0x3fd2_4924_923c_7b51),
        f64::from_bits(0x3fcc_71c7_22b1_623e),
        f64::from_bits(0x3fc7_45d0_8a99_2d42),
        f64::from_bits(0x3fc3_b151_23dc_5a76),
        f64::from_bits(0x3fc1_0fa6_9e01_d5b3),
        f64::from_bits(0x3fbe_3eb6_aca2_b382),
        f64::from_bits(0x3fb9_e7b2_3bb8_914e),
        f64::from_bits(0x3fbe_7476_4a9e_a1a7),
        f64::from_bits(0xbf84_a26f_a7c2_5b31),
        f64::from_bits(0x3fd6_4dad_21b1_9ab4),
        f64::from_bits(0xbfd8_fb4f_8bc6_b683),
        f64::from_bits(0x3fde_ca67_3145_de0f),
    ];
}

/// Constants of the correctly rounded `f32` functions, in `f64`.
pub(crate) mod exact {
    /// log2(e).
    pub(crate) const LOG2_E: f64 = f64::from_bits(0x3ff7_1547_652b_82fe);
    /// ln 2.
    pub(crate) const LN2: f64 = f64::from_bits(0x3fe6_2e42_fefa_39ef);
    /// exp(r) = EXP(r) on |r| <= ln(2)/2; relative error <= 2^-40.231.
    pub(crate) const EXP: [f64; 9] = [
        f64::from_bits(0x3fef_ffff_ffff_f7a3),
        f64::from_bits(0x3fef_ffff_fffd_563a),
        f64::from_bits(0x3fe0_0000_0008_7f61),
        f64::from_bits(0x3fc5_5555_5a08_1a1e),
        f64::from_bits(0x3fa5_5555_4050_d202),
        f64::from_bits(0x3f81_1108_2af4_ece8),
        f64::from_bits(0x3f56_c18b_33f7_3e0b),
        f64::from_bits(0x3f2a_1a81_bd9b_5d70),
        f64::from_bits(0x3ef9_eda8_f0bc_8aca),
    ];
    /// log1p(e) = e - w (1/2 + (e + q) LOG1P(w)), q = e/(1 + e), w = e - q, on [0, 1]; relative error <= 2^-41.241.
    pub(crate) const LOG1P: [f64; 7] = [
        f64::from_bits(0x3fb5_5555_5535_2262),
        f64::from_bits(0xbf91_1110_f700_55da),
        f64::from_bits(0x3f6d_41c5_cefc_6d3a),
        f64::from_bits(0xbf49_ffc1_6e79_396b),
        f64::from_bits(0x3f27_82a1_1453_9434),
        f64::from_bits(0xbf04_7da8_3afb_6c86),
        f64::from_bits(0x3eda_1f0c_adda_a25d),
    ];
    /// ln 2 - double::LN2_HI - double::LN2_LO.
    pub(crate) const LN2_REST: f64 = f64::from_bits(0x398f_97b5_7a07_9a19);
    /// 1/3!, 1/4!, 1/5!, 1/6!.
    pub(crate) const EXPM1_HI: [f64; 4] = [
        f64::from_bits(0x3fc5_5555_5555_5555),
        f64::from_bits(0x3fa5_5555_5555_5555),
        f64::from_bits(0x3f81_1111_1111_1111),
        f64::from_bits(0x3f56_c16c_16c1_6c17),
    ];
    /// What they lack.
    pub(crate) const EXPM1_LO: [f64; 4] = [
        f64::from_bits(0x3c65_5555_5555_5555),
        f64::from_bits(0x3c45_5555_5555_5555),
        f64::from_bits(0x3c01_1111_1111_1111),
        f64::from_bits(0xbbef_49f4_9f49_f49f),
    ];
    /// 1/7!, 1/8!, ... 1/17!; beyond, less than 2^-78 of expm1(r) is left out.
    pub(crate) const EXPM1_END: [f64; 11] = [
        f64::from_bits(0x3f2a_01a0_1a01_a01a),
        f64::from_bits(0x3efa_01a0_1a01_a01a),
        f64::from_bits(0x3ec7_1de3_a556_c734),
        f64::from_bits(0x3e92_7e4f_b778_9f5c),
        f64::from_bits(0x3e5a_e645_67f5_44e4),
        f64::from_bits(0x3e21_eed8_eff8_d898),
        f64::from_bits(0x3de6_1246_13a8_6d09),
        f64::from_bits(0x3da9_3974_a8c0_7c9d),
        f64::from_bits(0x3d6a_e7f3_e733_b81f),
        f64::from_bits(0x3d2a_e7f3_e733_b81f),
        f64::from_bits(0x3ce9_52c7_7030_ad4a),
    ];
}
